// The pre-norm transformer decoder: what the Llama, Gemma, Qwen and Phi families are made of. An architecture file
// fills a DecoderSpec from metadata; make_decoder() loads what it describes.
//
//   x = embedding * embedding_scale
//   per layer:  x += [norm](W_o attention(rotate([norm](W_q n)), rotate([norm](W_k n)), W_v n)),   n = norm(x)
//               x += [norm](W_down (activation(W_gate n) * (W_up n))),                              n = norm(x)
//   logits = softcap(W_head norm(x))
//
// Norms in brackets are there where the architecture has them, biases where the file has them.
#pragma once

#include <memory>
#include <vector>

#include "models/model.h"
#include "models/source.h"
#include "ops/ops.h"

namespace bitkerf {

// Rotary position embedding: pair i of a head is its values (i, i + pairs) and turns by position * frequencies[i].
struct RotarySpec {
  std::vector<double> frequencies;  // (pairs); a head's values from 2 * pairs on stay as they are
  double magnitude = 1;             // that the turned values are multiplied by
};
// base^(-2 i / dims) / divisor[i]; divisors may be empty.
std::vector<double> rotary_frequencies(i64 dims, double base, std::span<const double> divisors = {});

struct LayerSpec {
  i64 window = 0;          // a token sees itself and the window - 1 tokens before it; 0: all
  std::size_t rotary = 0;  // index into DecoderSpec::rotaries
};

struct DecoderSpec {
  ModelShape shape;  // layers, width, vocabulary, context; what depends on the weights is filled by make_decoder()
  i64 hidden = 0;    // of the feed-forward block
  i64 heads = 0, kv_heads = 0, head_dim = 0, value_dim = 0;
  float epsilon = 0;
  float norm_offset = 0;  // added to stored gains of norms
  std::vector<RotarySpec> rotaries;
  std::vector<LayerSpec> layer;  // (layers)
  // Stored q and k rotate neighbours (2 i, 2 i + 1) instead of halves: their rows are put in our order as they load.
  bool interleaved = false;
  float attention_scale = 0, attention_softcap = 0, logit_softcap = 0, embedding_scale = 1;
  // y = activation(gate) * up
  void (*activation)(Matrix<const float> gate, Matrix<const float> up, const ProductInput& y, Context&) noexcept = silu_gate;
  bool head_norms = false;  // on each head of q and k
  bool post_norms = false;  // on what a block adds to x
  bool fused_qkv = false, fused_gate_up = false;
};

// What nearly all architectures store under the same keys "<architecture>.*". One rotary, scaled as "rope.scaling.type"
// says (none, linear, yarn; another type is Fault::file unless the architecture `knows` it); a window for those layers
// that "attention.sliding_window_pattern" names, or for all where the file has a window and no pattern.
DecoderSpec read_decoder_spec(const Metadata& metadata, const LinearSource& source, std::string_view knows = "");
// "<architecture>.name" of this file.
std::string key_of(const Metadata& metadata, std::string_view name);
// Whether the metadata come from a config.json, which says everything, and not from a GGUF file, where what is the same
// in all models of an architecture may be left out.
bool from_config(const Metadata& metadata);
// Which layers slide: as the file says, or every one but each `period`-th (0: all).
std::vector<bool> sliding_layers(const Metadata& metadata, i64 layers, i64 period);

std::unique_ptr<Model> make_decoder(const DecoderSpec& spec, LinearSource& source, const ModelOptions& options,
                                    Threads& threads);

}  // namespace bitkerf
