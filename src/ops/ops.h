// What a model computes between its matrix products. Everything is noexcept; shapes are the caller's promise (CHECKed).
// A row (one token) has the same bits whatever the other rows, the number of threads and the instruction set:
// sums over a row have one fixed order, and no operation depends on where a row lies. x and y may be the same matrix
// everywhere.
#pragma once

#include <span>

#include "core/context.h"
#include "forms/product_input.h"

namespace bitkerf {

// ---- Norms. Sums in float, 64 partial sums by column modulo 64.

// y = x / sqrt(mean(x^2) + eps) * gain, for every row. x, y (tokens, width); gain (width).
void rms_norm(Matrix<const float> x, std::span<const float> gain, float eps, Matrix<float> y, Context& context) noexcept;
// x += delta, then y = rms_norm(x): a residual and the next norm in one pass. x, delta, y (tokens, width).
void add_rms_norm(Matrix<float> x, Matrix<const float> delta, std::span<const float> gain, float eps, Matrix<float> y,
                  Context& context) noexcept;
// The same; y is what the next products read.
void rms_norm(Matrix<const float> x, std::span<const float> gain, float eps, const ProductInput& y, Context& context) noexcept;
void add_rms_norm(Matrix<float> x, Matrix<const float> delta, std::span<const float> gain, float eps, const ProductInput& y,
                  Context& context) noexcept;
// Every head of every row is normed by itself, in place (q and k norms). x (tokens, heads * gain.size()).
void rms_norm_heads(Matrix<float> x, std::span<const float> gain, float eps, Context& context) noexcept;
// y = (x - mean(x)) / sqrt(variance(x) + eps) * gain + bias. bias may be empty.
void layer_norm(Matrix<const float> x, std::span<const float> gain, std::span<const float> bias, float eps,
                Matrix<float> y, Context& context) noexcept;

// ---- Rotary position embedding.

// How the numbers of a head form the pairs that are turned: halves: i and i + n (GPT-NeoX, Hugging Face);
// neighbours: 2 i and 2 i + 1 (GGUF files of the llama architecture).
enum class RotaryPairs { halves, neighbours };

// The angles of one layer type: pair i of a token at position p turns by p * inverse_frequencies[i]. Built when the
// model is; angles are computed in double.
class Rotary {
 public:
  Rotary() = default;
  // magnitude multiplies cosine and sine (YaRN's mscale; 1 for most).
  Rotary(std::span<const double> inverse_frequencies, double magnitude = 1);
  i64 pairs() const { return frequencies_.size(); }
  i64 table_cols() const { return 2 * pairs(); }
  // table (rows, table_cols): row t gets the cosines, then the sines of position first + t. Once per step and run;
  // all layers of the type share the table.
  void fill(i64 first, Matrix<float> table, Context& context) const noexcept;

 private:
  Buffer<double> frequencies_;
  Buffer<double> near_;  // cosines and sines of positions 0 .. kNear-1, by the angle sum rule added to a multiple of kNear
  double magnitude_ = 1;
};

// Turns the first 2 * pairs numbers of every head in place; the rest of a head stays (partial rotary).
// table (tokens, 2 * pairs); x (tokens, heads * head_dim).
void rotate(Matrix<const float> table, RotaryPairs pairs, i64 head_dim, Matrix<float> x, Context& context) noexcept;

// ---- Activations and arithmetic. All matrices (tokens, width).

// y = silu(gate) * up, silu(x) = x / (1 + e^-x). Error of silu: see sigmoid in core/simd.h.
void silu_gate(Matrix<const float> gate, Matrix<const float> up, Matrix<float> y, Context& context) noexcept;
// y = gelu(gate) * up with the tanh form of gelu: x / (1 + e^(-2 u)), u = sqrt(2/pi) (x + 0.044715 x^3).
void gelu_gate(Matrix<const float> gate, Matrix<const float> up, Matrix<float> y, Context& context) noexcept;
// The same; y is what the next products read.
void silu_gate(Matrix<const float> gate, Matrix<const float> up, const ProductInput& y, Context& context) noexcept;
void gelu_gate(Matrix<const float> gate, Matrix<const float> up, const ProductInput& y, Context& context) noexcept;
// x = cap * tanh(x / cap)
void softcap(Matrix<float> x, float cap, Context& context) noexcept;
void scale(Matrix<float> x, float factor, Context& context) noexcept;
void add(Matrix<float> x, Matrix<const float> delta, Context& context) noexcept;       // x += delta
void add_bias(Matrix<float> x, std::span<const float> bias, Context& context) noexcept;  // every row += bias

// ---- Over the vocabulary.

// The first of the largest; NaN is never larger. At least one element.
i64 argmax(std::span<const float> x) noexcept;
// log(sum(e^x)), the sum in double: 16 partial sums by index modulo 16.
double log_sum_exp(std::span<const float> x, Isa isa) noexcept;
// y = x - log_sum_exp(x), rounded once from double.
void log_softmax(std::span<const float> x, std::span<float> y, Isa isa) noexcept;
// y = e^x / sum(e^x)
void softmax(std::span<const float> x, std::span<float> y, Isa isa) noexcept;

}  // namespace bitkerf
