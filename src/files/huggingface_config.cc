// config.json to GGUF metadata. The JSON is first flattened to Metadata under its own keys ("rope_scaling.factor"), so
// that the getters that check GGUF files check it too; tables then say which key becomes which.
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/printable.h"
#include "files/huggingface.h"
#include "files/huggingface_families.h"
#include "files/json.h"

namespace bitkerf {
namespace {

// Bounds far above any real model; they keep later products of sizes small.
constexpr i64 kMostLayers = 1 << 14;
constexpr i64 kMostHeads = 1 << 16;
constexpr i64 kMostWidth = 1 << 24;
constexpr i64 kMostContext = 1 << 30;

struct IntegerRow {
  std::string_view from, to;  // `to` goes behind the architecture's name
  i64 most;                   // the least is 1
};
constexpr IntegerRow kIntegers[] = {
    {"num_hidden_layers", "block_count", kMostLayers},
    {"hidden_size", "embedding_length", kMostWidth},
    {"intermediate_size", "feed_forward_length", kMostWidth},
    {"num_attention_heads", "attention.head_count", kMostHeads},
    {"max_position_embeddings", "context_length", kMostContext},
    {"vocab_size", "vocab_size", kMostWidth},
};

// Optional.
struct NumberRow {
  std::string_view from, to;
  double low, high;
};
constexpr NumberRow kNumbers[] = {
    {"attn_logit_softcapping", "attn_logit_softcapping", 1e-3, 1e6},
    {"final_logit_softcapping", "final_logit_softcapping", 1e-3, 1e6},
};

// One array of JSON where all elements are of one kind; mixed and nested ones are not needed by any key.
void flatten_array(const nlohmann::json& array, const std::string& key, Metadata& out) {
  auto all = [&](auto is) { return std::all_of(array.begin(), array.end(), is); };
  auto convert = [&]<class T>(T) {
    std::vector<T> elements;
    for (const nlohmann::json& element : array) elements.push_back(element.get<T>());
    out.set(key, MetadataArray(std::move(elements)));
  };
  if (all([](const auto& e) { return e.is_string(); })) convert(std::string());
  else if (all([](const auto& e) { return e.is_number_integer() && !e.is_number_unsigned(); })) convert(i64());
  else if (all([](const auto& e) { return e.is_number(); })) convert(double());
}

void flatten(const nlohmann::json& value, const std::string& key, Metadata& out) {
  if (value.is_object()) {
    for (const auto& [name, member] : value.items()) flatten(member, key.empty() ? name : key + "." + name, out);
  } else if (value.is_array()) {
    flatten_array(value, key, out);
  } else if (value.is_string()) {
    out.set(key, value.get<std::string>());
  } else if (value.is_boolean()) {
    out.set(key, value.get<bool>());
  } else if (value.is_number_unsigned()) {
    out.set(key, value.get<std::uint64_t>());
  } else if (value.is_number_integer()) {
    out.set(key, value.get<std::int64_t>());
  } else if (value.is_number_float()) {
    out.set(key, value.get<double>());
  }  // null counts as absent
}

class Translation {
 public:
  Translation(const Metadata& config, const HuggingfaceFamily& family)
      : config_(config), family_(family), out_(config.where()) {}

  Metadata translate() {
    out_.set("general.architecture", std::string(family_.architecture));
    if (!family_.is_encoder) out_.set("bitkerf.rope_style", std::string("half"));
    if (family_.norm_offset != 0) out_.set("bitkerf.norm_offset", family_.norm_offset);
    for (const IntegerRow& row : kIntegers) put(row.to, config_.integer(row.from, 1, row.most));
    for (const NumberRow& row : kNumbers)
      if (config_.has(row.from)) put(row.to, config_.number(row.from, row.low, row.high));
    check_activation();
    put_heads();
    if (family_.is_encoder) {
      put("attention.layer_norm_epsilon", config_.number("layer_norm_eps", 0, 1, 1e-12));
      out_.set(key("attention.causal"), false);
      return std::move(out_);
    }
    put("attention.layer_norm_rms_epsilon", config_.number("rms_norm_eps", 0, 1, 1e-6));
    put_window();
    put_rope();
    put_tied_output();
    return std::move(out_);
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
    fail(Fault::file, "{}: {}", config_.where(), fmt::format(format, std::forward<Args>(args)...));
  }

  std::string key(std::string_view name) const { return fmt::format("{}.{}", family_.architecture, name); }
  // Integers as GGUF files have them (32 bits suffice for all of kIntegers), numbers in full precision.
  void put(std::string_view name, i64 value) { out_.set(key(name), static_cast<std::uint32_t>(value)); }
  void put(std::string_view name, double value) { out_.set(key(name), value); }

  void check_activation() {
    std::string activation = config_.text(family_.activation_key, family_.activation);
    if (activation != family_.activation)
      refuse("{} is {}, expected {}", family_.activation_key, printable(activation), family_.activation);
    if (config_.has("quantization_config.quant_method"))
      refuse("weights quantized by {} are not supported, expected F32, F16 or BF16",
             printable(config_.text("quantization_config.quant_method"), 30));
  }

  void put_heads() {
    i64 width = config_.integer("hidden_size", 1, kMostWidth);
    i64 heads = config_.integer("num_attention_heads", 1, kMostHeads);
    put("attention.head_count_kv", config_.integer("num_key_value_heads", 1, heads, heads));
    i64 otherwise = family_.head_size ? family_.head_size : width / heads;
    head_size_ = config_.integer("head_dim", 1, kMostWidth, otherwise);
    if (head_size_ < 1) refuse("{} heads for a hidden_size of {}", heads, width);
    put("attention.key_length", head_size_);
    put("attention.value_length", head_size_);
    if (config_.has("query_pre_attn_scalar"))
      put("attention.scale", 1 / std::sqrt(config_.number("query_pre_attn_scalar", 1e-6, 1e9)));
  }

  void put_window() {
    bool used = config_.boolean("use_sliding_window", true);
    i64 layers = config_.integer("num_hidden_layers", 1, kMostLayers);
    std::vector<bool> windowed;
    if (const std::vector<std::string>* types = config_.texts("layer_types")) {
      if (static_cast<i64>(types->size()) != layers)
        refuse("layer_types has {} entries, expected {}", types->size(), layers);
      for (const std::string& type : *types) {
        if (type != "sliding_attention" && type != "full_attention")
          refuse("layer_types has {}, expected sliding_attention or full_attention", printable(type));
        windowed.push_back(type == "sliding_attention");
      }
    } else {
      for (i64 layer = 0; layer < layers; layer++) windowed.push_back(used && family_.has_window(layer, config_));
    }
    if (!config_.has("sliding_window") || std::find(windowed.begin(), windowed.end(), true) == windowed.end()) return;
    put("attention.sliding_window", config_.integer("sliding_window", 1, std::numeric_limits<std::int32_t>::max()));
    out_.set(key("attention.sliding_window_pattern"), MetadataArray(std::move(windowed)));
  }

  // The rotary settings moved between versions of transformers; the first place that has the key counts.
  std::string rope_key(std::string_view name) const {
    for (std::string_view place : {"rope_parameters.full_attention.", "rope_parameters.", "rope_scaling.", ""})
      if (std::string full = fmt::format("{}{}", place, name); config_.has(full)) return full;
    return std::string(name);
  }

  void put_rope() {
    put("rope.freq_base", config_.number(rope_key("rope_theta"), 1, 1e12, family_.rope_base));
    std::string_view local = config_.has("rope_local_base_freq") ? "rope_local_base_freq"
                                                                 : "rope_parameters.sliding_attention.rope_theta";
    if (family_.local_rope_base > 0)
      put("rope.freq_base_swa", config_.number(local, 1, 1e12, family_.local_rope_base));
    double part = config_.number(rope_key("partial_rotary_factor"), 1e-3, 1, 1);
    rope_size_ = static_cast<i64>(static_cast<double>(head_size_) * part);
    if (rope_size_ < 2 || rope_size_ % 2 != 0)
      refuse("{} of each head's {} values would be rotated, expected an even number from 2", rope_size_, head_size_);
    put("rope.dimension_count", rope_size_);

    std::string type = config_.text(config_.has(rope_key("rope_type")) ? rope_key("rope_type") : rope_key("type"),
                                    "default");
    for (const Scaling& row : kScalings)
      if (type == row.name) return (this->*row.put)();
    std::string known;
    for (const Scaling& row : kScalings) known += fmt::format(" {}", row.name);
    refuse("the rope type {} is not supported, expected one of:{}", printable(type, 30), known);
  }

  void put_no_scaling() {}

  void put_linear() {
    out_.set(key("rope.scaling.type"), std::string("linear"));
    put("rope.scaling.factor", config_.number(rope_key("factor"), 1, 1e6));
  }

  i64 original_context() const {
    return config_.integer(rope_key("original_max_position_embeddings"), 1, kMostContext);
  }

  void put_llama3() {
    auto number = [&](std::string_view name) { return config_.number(rope_key(name), 1e-6, 1e6); };
    double low = number("low_freq_factor"), high = number("high_freq_factor");
    if (!(high > low)) refuse("high_freq_factor is {}, expected more than low_freq_factor, {}", high, low);
    out_.set("bitkerf.rope.llama3.factor", number("factor"));
    out_.set("bitkerf.rope.llama3.low_freq_factor", low);
    out_.set("bitkerf.rope.llama3.high_freq_factor", high);
    out_.set("bitkerf.rope.llama3.original_context_length", static_cast<std::uint32_t>(original_context()));
  }

  void put_yarn() {
    double factor = config_.number(rope_key("factor"), 1, 1e6);
    out_.set(key("rope.scaling.type"), std::string("yarn"));
    put("rope.scaling.factor", factor);
    put("rope.scaling.original_context_length",
        config_.integer(rope_key("original_max_position_embeddings"), 1, kMostContext,
                        config_.integer("max_position_embeddings", 1, kMostContext)));
    // Llama.cpp multiplies cos and sin by attn_factor * (1 + 0.1 ln factor); Hugging Face's number is the product.
    if (config_.has(rope_key("attention_factor")))
      put("rope.scaling.attn_factor",
          config_.number(rope_key("attention_factor"), 1e-3, 1e3) / (1 + 0.1 * std::log(factor)));
    put("rope.scaling.yarn_beta_fast", config_.number(rope_key("beta_fast"), 1e-3, 1e6, 32));
    put("rope.scaling.yarn_beta_slow", config_.number(rope_key("beta_slow"), 1e-3, 1e6, 1));
  }

  void put_longrope() {
    i64 original = original_context();
    double ratio = static_cast<double>(config_.integer("max_position_embeddings", 1, kMostContext)) /
                   static_cast<double>(original);
    double factor = config_.number(rope_key("factor"), 1e-6, 1e6, ratio);
    double otherwise = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original)));
    if (!std::isfinite(otherwise)) refuse("original_max_position_embeddings is {}, expected more", original);
    out_.set(key("rope.scaling.type"), std::string("longrope"));
    put("rope.scaling.original_context_length", original);
    put("rope.scaling.attn_factor", config_.number(rope_key("attention_factor"), 1e-3, 1e3, otherwise));
    for (std::string_view name : {"long", "short"}) {
      std::string from = rope_key(fmt::format("{}_factor", name));
      std::optional<std::vector<double>> factors = config_.numbers(from);
      if (!factors || static_cast<i64>(factors->size()) != rope_size_ / 2)
        refuse("{} has {} entries, expected {}", from, factors ? factors->size() : 0, rope_size_ / 2);
      for (double value : *factors)
        if (!(value > 1e-6 && value < 1e9)) refuse("{} has the entry {}, expected 1e-6 to 1e9", from, value);
      out_.set(fmt::format("bitkerf.rope.{}_factors", name), MetadataArray(std::move(*factors)));
    }
  }

  struct Scaling {
    std::string_view name;
    void (Translation::*put)();
  };
  static constexpr Scaling kScalings[] = {
      {"default", &Translation::put_no_scaling}, {"linear", &Translation::put_linear},
      {"llama3", &Translation::put_llama3},      {"yarn", &Translation::put_yarn},
      {"longrope", &Translation::put_longrope},  {"su", &Translation::put_longrope},  // longrope's first name
  };

  void put_tied_output() {
    out_.set("bitkerf.tied_output", config_.boolean("tie_word_embeddings", family_.tied_output));
  }

  const Metadata& config_;
  const HuggingfaceFamily& family_;
  Metadata out_;
  i64 head_size_ = 0, rope_size_ = 0;
};

}  // namespace

Metadata translate_config(const std::string& where, std::string_view text) {
  nlohmann::json json = parse_json(where, text, {.bytes = 1 << 20, .depth = 8, .values = 1 << 17});
  if (!json.is_object()) fail(Fault::file, "{}: not a JSON object", where);
  Metadata config(where);
  flatten(json, "", config);
  const std::vector<std::string>* classes = config.texts("architectures");
  if (!classes || classes->size() != 1)
    fail(Fault::file, "{}: key architectures names {} classes, expected one", where, classes ? classes->size() : 0);
  return Translation(config, huggingface_family(where, classes->front())).translate();
}

}  // namespace bitkerf
