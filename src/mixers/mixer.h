// What lets a token see earlier ones: softmax attention here; linear attention and state spaces later.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "core/context.h"
#include "mixers/batch.h"

namespace bitkerf {

// What one mixer (one layer) remembers of one sequence.
class MixerState {
 public:
  virtual ~MixerState() = default;
  virtual i64 tokens() const = 0;                     // held now
  virtual void truncate(i64 tokens) noexcept = 0;     // forget all but the first `tokens`
  virtual i64 bytes_per_token() const = 0;
};

class Mixer {
 public:
  virtual ~Mixer() = default;
  // Room for max_tokens; memory is touched only as tokens come.
  virtual std::unique_ptr<MixerState> state(i64 max_tokens) const = 0;
  // q (tokens, heads * head_dim) and k (tokens, kv_heads * head_dim) after rotary, v (tokens, kv_heads * value_dim).
  // states[i] belongs to batch.runs[i] and holds runs[i].position tokens; afterwards it holds those of the run too.
  // y (tokens, heads * value_dim). A token's y has the same bits whatever else is in the batch.
  virtual void mix(Matrix<const float> q, Matrix<const float> k, Matrix<const float> v, const Batch& batch,
                   std::span<MixerState* const> states, Matrix<float> y, Context& context) const noexcept = 0;
  virtual i64 scratch(i64 tokens, i64 max_tokens) const = 0;  // arena bytes that mix() takes at most
};

// How keys and values are kept; "f16", "f32", "int16" on the command line. int16 multiplies integers: the fastest.
enum class CacheType { f16, f32, int16 };

struct AttentionShape {
  i64 heads = 0, kv_heads = 0;      // heads is a multiple of kv_heads
  i64 head_dim = 0, value_dim = 0;
  float scale = 0;                  // of q . k, usually 1/sqrt(head_dim)
  float softcap = 0;                // s = softcap * tanh(s / softcap); 0: none
  i64 window = 0;                   // a token sees itself and the window - 1 tokens before it; 0: all
};
std::unique_ptr<Mixer> make_attention(const AttentionShape& shape, CacheType cache, int threads);

}  // namespace bitkerf
