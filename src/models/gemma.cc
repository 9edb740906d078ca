// Gemma 2 and 3: embeddings scaled by sqrt(width), GELU gates, norms before and after each block, and layers that see
// only a sliding window between those that see everything.
#include <cmath>

#include "core/error.h"
#include "models/list.h"

namespace bitkerf {
namespace {

// Which layers slide: every one but each `period`-th, or as an array in the file says layer by layer.
std::vector<bool> sliding_layers(const Metadata& metadata, i64 layers, i64 period) {
  std::string key = key_of(metadata, "attention.sliding_window_pattern");
  const MetadataValue* value = metadata.find(key);
  if (const MetadataArray* array = value ? std::get_if<MetadataArray>(value) : nullptr) {
    const auto* flags = std::get_if<std::vector<bool>>(array);
    if (!flags || static_cast<i64>(flags->size()) != layers) {
      fail(Fault::file, "{}: key {} must be a number or one boolean for each of the {} layers", metadata.where(), key, layers);
    }
    return *flags;
  }
  period = metadata.integer(key, 1, layers > period ? layers : period, period);
  std::vector<bool> sliding;
  for (i64 i = 0; i < layers; i++) sliding.push_back((i + 1) % period != 0);
  return sliding;
}

DecoderSpec gemma_spec(const Metadata& metadata, LinearSource& source, i64 layers_of_27b) {
  DecoderSpec spec = read_decoder_spec(metadata, source);
  rope_scaling(metadata, {"linear"});
  spec.activation = gelu_gate;
  spec.post_norms = true;
  spec.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(spec.shape.width)));
  // Queries are divided by the root of this. Files do not say it: the 27B models differ from the others.
  bool is_27b = spec.shape.layers == layers_of_27b && spec.shape.width % spec.heads == 0;
  double divisor = static_cast<double>(is_27b ? spec.shape.width / spec.heads : spec.head_dim);
  divisor = metadata.number("bitkerf.query_pre_attention_scalar", 1e-3, 1e9, divisor);
  spec.attention_scale = static_cast<float>(1 / std::sqrt(divisor));
  return spec;
}

}  // namespace

DecoderSpec gemma2_spec(const Metadata& metadata, LinearSource& source, const ModelOptions&) {
  DecoderSpec spec = gemma_spec(metadata, source, 46);
  spec.attention_softcap = static_cast<float>(metadata.number(key_of(metadata, "attn_logit_softcapping"), 0, 1e6, 50));
  spec.logit_softcap = static_cast<float>(metadata.number(key_of(metadata, "final_logit_softcapping"), 0, 1e6, 30));
  i64 window = metadata.integer(key_of(metadata, "attention.sliding_window"), 0, i64{1} << 31, 4096);
  std::vector<bool> sliding = sliding_layers(metadata, spec.shape.layers, 2);
  for (std::size_t i = 0; i < sliding.size(); i++) spec.layer[i].window = sliding[i] ? window : 0;
  return spec;
}

DecoderSpec gemma3_spec(const Metadata& metadata, LinearSource& source, const ModelOptions&) {
  DecoderSpec spec = gemma_spec(metadata, source, 62);
  spec.head_norms = true;
  spec.logit_softcap = static_cast<float>(metadata.number(key_of(metadata, "final_logit_softcapping"), 0, 1e6, 0));
  i64 window = metadata.integer(key_of(metadata, "attention.sliding_window"), 0, i64{1} << 31, 0);
  // Layers that slide turn with another base, which files do not name, and are not scaled.
  double base = metadata.number(key_of(metadata, "rope.freq_base_swa"), 1, 1e12, 10000);
  spec.rotaries.push_back({rotary_frequencies(2 * static_cast<i64>(spec.rotaries[0].frequencies.size()), base)});
  std::vector<bool> sliding = sliding_layers(metadata, spec.shape.layers, 6);
  for (std::size_t i = 0; i < sliding.size(); i++) {
    if (sliding[i] && window > 0) spec.layer[i] = {window, 1};
  }
  return spec;
}

}  // namespace bitkerf
