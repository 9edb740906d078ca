#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"
#include "core/printable.h"
#include "models/decoder.h"

namespace bitkerf {
namespace {

// Far above every published model, far below what would overflow or exhaust memory before a tensor is missed.
constexpr i64 kMostLayers = 4096, kMostWidth = 1 << 20, kMostHeads = 65536, kMostHeadDim = 65536,
              kMostContext = i64{1} << 31;

}  // namespace

i64 chosen_context(i64 requested, i64 trained) {
  constexpr i64 kDefault = 8192;
  if (requested < 0 || requested > trained) {
    fail(Fault::usage, "a context of {} tokens; this model was trained for {} (0: the default, {})", requested, trained,
         std::min(kDefault, trained));
  }
  return requested > 0 ? requested : std::min(kDefault, trained);
}

namespace {

// All pairs turn 1 / factor times as fast (Chen et al., Extending Context Window, 2023).
void scale_linear(const Metadata& metadata, RotarySpec& rotary, double) {
  double factor = metadata.number(key_of(metadata, "rope.scaling.factor"), 1e-3, 1e6);
  for (double& f : rotary.frequencies) f /= factor;
}

// YaRN (Peng et al., 2023, section 3.2): pairs that turn often in the trained context stay, those that turn less than
// once are slowed by `factor`, a ramp lies between; and attention gets sharper.
void scale_yarn(const Metadata& metadata, RotarySpec& rotary, double base) {
  auto number = [&](std::string_view name, double low, double high, double otherwise) {
    return metadata.number(key_of(metadata, name), low, high, otherwise);
  };
  double factor = metadata.number(key_of(metadata, "rope.scaling.factor"), 1e-3, 1e6);
  double trained = number("rope.scaling.original_context_length", 1, 1e12, number("context_length", 1, 1e12, 1));
  double pairs = static_cast<double>(rotary.frequencies.size());
  auto pair_that_turns = [&](double times) {
    return pairs * std::log(trained / (times * 2 * std::numbers::pi)) / std::log(base);
  };
  double first = std::max(0.0, std::floor(pair_that_turns(number("rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32))));
  double last =
      std::min(2 * pairs - 1, std::ceil(pair_that_turns(number("rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1))));
  if (first == last) last += 0.001;
  for (std::size_t i = 0; i < rotary.frequencies.size(); i++) {
    double slowed = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);
    rotary.frequencies[i] *= slowed / factor + (1 - slowed);
  }
  rotary.magnitude = number("rope.scaling.attn_factor", 1e-3, 1e3, 1) * (factor > 1 ? 1 + 0.1 * std::log(factor) : 1);
}

struct RopeScaling {
  std::string_view name;  // in rope.scaling.type
  void (*apply)(const Metadata& metadata, RotarySpec& rotary, double base);
};
constexpr RopeScaling kRopeScalings[] = {
    {"none", [](const Metadata&, RotarySpec&, double) {}}, {"linear", scale_linear}, {"yarn", scale_yarn}};

void scale_rotary(const Metadata& metadata, RotarySpec& rotary, double base, std::string_view knows) {
  std::string key = key_of(metadata, "rope.scaling.type"), type = metadata.text(key, "none"), known;
  if (!knows.empty() && type == knows) return;
  for (const RopeScaling& row : kRopeScalings) {
    if (row.name == type) return row.apply(metadata, rotary, base);
    known += fmt::format(" {}", row.name);
  }
  fail(Fault::file, "{}: key {} is '{}', expected one of:{} {}", metadata.where(), key, printable(type), known, knows);
}

}  // namespace

std::vector<double> rotary_frequencies(i64 dims, double base, std::span<const double> divisors) {
  std::vector<double> frequencies(static_cast<std::size_t>(dims / 2));
  for (std::size_t i = 0; i < frequencies.size(); i++) {
    frequencies[i] = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(dims));
    if (!divisors.empty()) frequencies[i] /= divisors[i];
  }
  return frequencies;
}

std::string key_of(const Metadata& metadata, std::string_view name) {
  return fmt::format("{}.{}", metadata.text("general.architecture"), name);
}

bool from_config(const Metadata& metadata) { return metadata.has("bitkerf.rope_style"); }

std::vector<bool> sliding_layers(const Metadata& metadata, i64 layers, i64 period) {
  std::string key = key_of(metadata, "attention.sliding_window_pattern");
  const MetadataValue* value = metadata.find(key);
  if (const MetadataArray* array = value ? std::get_if<MetadataArray>(value) : nullptr) {
    const auto* flags = std::get_if<std::vector<bool>>(array);
    if (!flags || static_cast<i64>(flags->size()) != layers) {
      fail(Fault::file, "{}: key {} must be a number or one boolean for each of the {} layers", metadata.where(), key,
           layers);
    }
    return *flags;
  }
  period = metadata.integer(key, 0, kMostLayers, period);
  std::vector<bool> sliding;
  for (i64 i = 0; i < layers; i++) sliding.push_back(period == 0 || (i + 1) % period != 0);
  return sliding;
}

DecoderSpec read_decoder_spec(const Metadata& metadata, const LinearSource& source, std::string_view knows) {
  auto key = [&](std::string_view name) { return key_of(metadata, name); };
  auto number = [&](std::string_view name, double low, double high, double otherwise) {
    return metadata.number(key(name), low, high, otherwise);
  };
  DecoderSpec spec;
  ModelShape& shape = spec.shape;
  shape.architecture = metadata.text("general.architecture");
  shape.name = metadata.text("general.name", "");
  shape.layers = metadata.integer(key("block_count"), 1, kMostLayers);
  shape.width = metadata.integer(key("embedding_length"), 1, kMostWidth);
  shape.context = metadata.integer(key("context_length"), 1, kMostContext);
  shape.vocabulary = source.shape("token_embd.weight").rows;
  if (shape.vocabulary < 1 || shape.vocabulary > std::numeric_limits<Token>::max()) {
    fail(Fault::file, "{}: token_embd.weight has {} rows", metadata.where(), shape.vocabulary);
  }

  spec.hidden = metadata.integer(key("feed_forward_length"), 1, kMostWidth);
  spec.heads = metadata.integer(key("attention.head_count"), 1, kMostHeads);
  spec.kv_heads = metadata.integer(key("attention.head_count_kv"), 1, spec.heads, spec.heads);
  if (spec.heads % spec.kv_heads != 0) {
    fail(Fault::file, "{}: {} heads cannot share {} key heads evenly", metadata.where(), spec.heads, spec.kv_heads);
  }
  if (!metadata.has(key("attention.key_length")) && shape.width % spec.heads != 0) {
    fail(Fault::file, "{}: key {} is missing, and {} heads do not divide a width of {}", metadata.where(),
         key("attention.key_length"), spec.heads, shape.width);
  }
  spec.head_dim = metadata.integer(key("attention.key_length"), 1, kMostHeadDim, shape.width / spec.heads);
  spec.value_dim = metadata.integer(key("attention.value_length"), 1, kMostHeadDim, spec.head_dim);
  spec.epsilon = static_cast<float>(metadata.number(key("attention.layer_norm_rms_epsilon"), 0, 1));
  spec.norm_offset = static_cast<float>(metadata.number("bitkerf.norm_offset", -1e6, 1e6, 0));
  spec.attention_scale = static_cast<float>(
      metadata.number(key("attention.scale"), 1e-9, 1e9, 1 / std::sqrt(static_cast<double>(spec.head_dim))));

  i64 dims = metadata.integer(key("rope.dimension_count"), 2, spec.head_dim, spec.head_dim);
  if (dims % 2 != 0)
    fail(Fault::file, "{}: rotary embedding of {} values; expected an even number", metadata.where(), dims);
  double base = number("rope.freq_base", 1, 1e12, 10000);
  RotarySpec rotary{rotary_frequencies(dims, base)};
  scale_rotary(metadata, rotary, base, knows);
  spec.rotaries = {rotary};
  i64 window = metadata.integer(key("attention.sliding_window"), 0, kMostContext, 0);
  for (bool slides : sliding_layers(metadata, shape.layers, 0)) spec.layer.push_back({slides ? window : 0, 0});
  return spec;
}

}  // namespace bitkerf
