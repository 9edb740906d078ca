// Gemma 2 and 3: embeddings scaled by sqrt(width), GELU gates, norms before and after each block, and layers that see
// only a sliding window between those that see everything.
#include <cmath>

#include "core/error.h"
#include "models/list.h"

namespace bitkerf {
namespace {

DecoderSpec gemma_spec(const Metadata& metadata, LinearSource& source, i64 layers_of_27b) {
  DecoderSpec spec = read_decoder_spec(metadata, source);
  spec.activation = gelu_gate;
  spec.post_norms = true;
  spec.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(spec.shape.width)));
  // GGUF files do not say that the 27B models scale their queries by the width per head, not by the heads' size.
  if (!metadata.has(key_of(metadata, "attention.scale")) && !from_config(metadata) &&
      spec.shape.layers == layers_of_27b) {
    spec.attention_scale =
        static_cast<float>(std::sqrt(static_cast<double>(spec.heads) / static_cast<double>(spec.shape.width)));
  }
  return spec;
}

}  // namespace

DecoderSpec gemma2_spec(const Metadata& metadata, LinearSource& source, const ModelOptions&) {
  DecoderSpec spec = gemma_spec(metadata, source, 46);
  // A GGUF file may leave out what is the same in all models of the family.
  bool all_said = from_config(metadata);
  auto number = [&](std::string_view name, double otherwise) {
    return static_cast<float>(metadata.number(key_of(metadata, name), 0, 1e6, all_said ? 0 : otherwise));
  };
  spec.attention_softcap = number("attn_logit_softcapping", 50);
  spec.logit_softcap = number("final_logit_softcapping", 30);
  i64 window = metadata.integer(key_of(metadata, "attention.sliding_window"), 0, i64{1} << 31, all_said ? 0 : 4096);
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
    spec.layer[i] = sliding[i] && window > 0 ? LayerSpec{window, 1} : LayerSpec{};
  }
  return spec;
}

}  // namespace bitkerf
