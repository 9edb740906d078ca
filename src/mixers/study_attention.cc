// Softmax attention by its definition, with products of q k and p v that are not IEEE's: a study of precision.
#include <algorithm>
#include <cmath>

#include "core/buffer.h"
#include "formats/product_mode.h"
#include "mixers/study_attention.h"

namespace bitkerf {
namespace {

// Keys and values of a sequence as operands, position by position.
class StudyState final : public MixerState {
 public:
  StudyState(i64 max_tokens, i64 keys, i64 values) : k(max_tokens, keys), v(max_tokens, values) {}
  i64 tokens() const override { return tokens_; }
  void truncate(i64 tokens) noexcept override { tokens_ = std::min(tokens_, tokens); }
  i64 bytes_per_token() const override { return (k.cols() + v.cols()) * 4; }
  void grow(i64 tokens) { tokens_ += tokens; }
  OwnedMatrix<float> k, v;

 private:
  i64 tokens_ = 0;
};

class StudyAttention final : public Mixer {
 public:
  StudyAttention(const AttentionShape& shape, const ProductMode& mode) : shape_(shape), mode_(mode), operands_(mode) {}
  std::unique_ptr<MixerState> state(i64 max_tokens) const override {
    return std::make_unique<StudyState>(max_tokens, shape_.kv_heads * shape_.head_dim, shape_.kv_heads * shape_.value_dim);
  }
  i64 scratch(i64 tokens, i64 max_tokens) const override {
    return Arena::bytes_of<float>(kMaxThreads * (max_tokens + shape_.head_dim));
  }

  void mix(Matrix<const float> q, Matrix<const float> k, Matrix<const float> v, const Batch& batch, std::span<MixerState* const> states,
           Matrix<float> y, Context& context) const noexcept override {
    Arena::Scope scope(context.arena);
    i64 longest = 0;
    for (const Run& run : batch.runs) longest = std::max(longest, run.position + run.tokens);
    const i64 each = longest + shape_.head_dim;
    float* scratch = context.arena.take<float>(each * context.threads.count());
    for (std::size_t i = 0; i < batch.runs.size(); i++) {
      const Run& run = batch.runs[i];
      auto& state = static_cast<StudyState&>(*states[i]);
      for (i64 t = 0; t < run.tokens; t++) {
        for (i64 c = 0; c < k.cols; c++) state.k(run.position + t, c) = operands_(k(run.first + t, c));
        for (i64 c = 0; c < v.cols; c++) state.v(run.position + t, c) = operands_(v(run.first + t, c));
      }
      int workers = context.threads.count();
      context.threads.each([&](int worker) {
        for (i64 t = worker; t < run.tokens; t += workers)
          for (i64 h = 0; h < shape_.heads; h++) one(q.row(run.first + t) + h * shape_.head_dim, run.position + t, h, state, y.row(run.first + t) + h * shape_.value_dim, scratch + each * worker);
      });
      state.grow(run.tokens);
    }
  }

 private:
  // Scores and sums in float32; q and the weights p (at most 1) are rounded to operands like k and v.
  void one(const float* query, i64 position, i64 head, const StudyState& state, float* y, float* scratch) const {
    const i64 kv = head / (shape_.heads / shape_.kv_heads), first = shape_.window > 0 ? std::max<i64>(0, position - shape_.window + 1) : 0;
    float *q = scratch, *p = scratch + shape_.head_dim, top = -INFINITY, sum = 0;
    for (i64 d = 0; d < shape_.head_dim; d++) q[d] = operands_(query[d]);
    for (i64 j = first; j <= position; j++) {
      const float* k = state.k.view().row(j) + kv * shape_.head_dim;
      float s = 0;
      for (i64 d = 0; d < shape_.head_dim; d++) s += product(mode_, q[d], k[d]);
      s *= shape_.scale;
      if (shape_.softcap > 0) s = shape_.softcap * std::tanh(s / shape_.softcap);
      p[j] = s;
      top = std::max(top, s);
    }
    for (i64 j = first; j <= position; j++) sum += p[j] = std::exp(p[j] - top);
    std::fill_n(y, shape_.value_dim, 0.0f);
    for (i64 j = first; j <= position; j++) {
      const float* v = state.v.view().row(j) + kv * shape_.value_dim;
      const float weight = operands_(p[j]);
      for (i64 d = 0; d < shape_.value_dim; d++) y[d] += product(mode_, weight, v[d]);
    }
    for (i64 d = 0; d < shape_.value_dim; d++) y[d] /= sum;
  }

  AttentionShape shape_;
  const ProductMode& mode_;
  Operands operands_;
};

}  // namespace

std::unique_ptr<Mixer> make_study_attention(const AttentionShape& shape, const ProductMode& mode) {
  return std::make_unique<StudyAttention>(shape, mode);
}

}  // namespace bitkerf
