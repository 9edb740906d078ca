// The pieces of a decoder in float32 with their derivatives, for one window of tokens and one thread: products by
// OpenBLAS (used with one thread of its own), what lies between them by hand. d_x is the derivative of the loss in x.
#pragma once

#include <span>

#include "forms/product_input.h"
#include "mixers/mixer.h"

namespace bitkerf::backward {

// y = x W^T: x (tokens, cols), w (rows, cols), y (tokens, rows).
void product(Matrix<const float> x, Matrix<const float> w, Matrix<float> y) noexcept;
// d_x = d_y W, or added to what is there.
enum class Sum { replace, add };
void product_backward(Matrix<const float> d_y, Matrix<const float> w, Sum sum, Matrix<float> d_x) noexcept;

// Of y = x / sqrt(mean(x^2) + epsilon) * gain, on every row: d_x (may be d_y itself) and what is added to d_gain.
void rms_norm_backward(Matrix<const float> x, std::span<const float> gain, float epsilon, Matrix<const float> d_y, Sum sum,
                       Matrix<float> d_x, std::span<double> d_gain) noexcept;

// Causal softmax attention of one sequence from its start: q (tokens, heads * head_dim), k, v after rotary.
void attention(const AttentionShape& shape, Matrix<const float> q, Matrix<const float> k, Matrix<const float> v, Matrix<float> y,
               Context& context) noexcept;
void attention_backward(const AttentionShape& shape, Matrix<const float> q, Matrix<const float> k, Matrix<const float> v,
                        Matrix<const float> d_y, Matrix<float> d_q, Matrix<float> d_k, Matrix<float> d_v, Context& context) noexcept;
i64 attention_scratch(const AttentionShape& shape, i64 tokens);  // arena bytes of either

// A gated activation y = f(gate) * up as models name it (DecoderSpec::activation), and its derivative.
struct Gate {
  void (*products)(Matrix<const float> gate, Matrix<const float> up, const ProductInput& y, Context&) noexcept;
  void (*forward)(Matrix<const float> gate, Matrix<const float> up, Matrix<float> y, Context&) noexcept;
  void (*value_and_slope)(float x, float& value, float& slope) noexcept;  // of f
};
const Gate& gate_of(decltype(Gate::products) activation);
// d_gate and d_up from d_y; d_up may be d_y itself.
void gate_backward(const Gate& gate, Matrix<const float> g, Matrix<const float> up, Matrix<const float> d_y, Matrix<float> d_gate,
                   Matrix<float> d_up) noexcept;

}  // namespace bitkerf::backward
