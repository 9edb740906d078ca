#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/printable.h"
#include "models/decoder.h"

namespace bitkerf {
namespace {

// Far above every published model, far below what would overflow or exhaust memory before a tensor is missed.
constexpr i64 kMostLayers = 4096, kMostWidth = 1 << 20, kMostHeads = 65536, kMostHeadDim = 65536, kMostContext = i64{1} << 31;

}  // namespace

i64 chosen_context(i64 requested, i64 trained) {
  constexpr i64 kDefault = 8192;
  if (requested < 0 || requested > trained) {
    fail(Fault::usage, "a context of {} tokens; this model was trained for {} (0: the default, {})", requested, trained,
         std::min(kDefault, trained));
  }
  return requested > 0 ? requested : std::min(kDefault, trained);
}

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

std::string rope_scaling(const Metadata& metadata, std::initializer_list<std::string_view> known) {
  std::string key = key_of(metadata, "rope.scaling.type"), type = metadata.text(key, "none");
  if (type == "none" || std::find(known.begin(), known.end(), type) != known.end()) return type;
  fail(Fault::file, "{}: key {} is '{}'; for this architecture we know none, {}", metadata.where(), key, printable(type),
       fmt::join(known, ", "));
}

DecoderSpec read_decoder_spec(const Metadata& metadata, const LinearSource& source) {
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
  spec.attention_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(spec.head_dim)));

  i64 dims = metadata.integer(key("rope.dimension_count"), 2, spec.head_dim, spec.head_dim);
  if (dims % 2 != 0) fail(Fault::file, "{}: rotary embedding of {} values; expected an even number", metadata.where(), dims);
  double base = number("rope.freq_base", 1, 1e12, 10000);
  RotarySpec rotary{rotary_frequencies(dims, base)};
  if (metadata.text(key("rope.scaling.type"), "none") == "linear") {
    double factor = metadata.number(key("rope.scaling.factor"), 1e-3, 1e6);
    for (double& f : rotary.frequencies) f /= factor;
  }
  spec.rotaries = {rotary};
  spec.layer.resize(static_cast<std::size_t>(shape.layers));
  return spec;
}

}  // namespace bitkerf
