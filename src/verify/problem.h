// Weights and activations with patterns that find mistakes, and what their products must be.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "formats/stored.h"
#include "verify/kernels.h"
#include "verify/reference.h"

namespace bitkerf {

enum class WeightPattern {
  ordinary,  // random codes, some rows of extreme ones; random scales
  powers,    // the same codes; scales are powers of two and minima small integers, so that float sums are exact
  extreme,   // lowest and highest code only
  lowest,    // code 0 everywhere
  one,       // one code of each row differs from the code of 0
};
enum class InputPattern {
  ordinary,    // normal, some columns twenty times larger
  integers,    // every 32 columns hold the largest code of the encoding: scales are 1 and codes are the numbers themselves
  zeros, identity, extremes, outliers, subnormal, tiny, small, huge,
  cancelling,  // neighbours are opposite
};

// A matrix before it is packed.
struct Weights {
  std::optional<Quantized> quantized;
  const StoredType* stored = nullptr;  // otherwise
  std::vector<std::byte> blocks;
  Shape shape{};

  Weights with_rows_reversed() const;
  Weights copy() const { return with_rows_reversed().with_rows_reversed(); }
};
Weights make_weights(const Subject& subject, Shape shape, WeightPattern pattern, std::mt19937& random);
// Columns that a matrix of about `cols` may have.
i64 possible_cols(const Subject& subject, i64 cols);
std::unique_ptr<PackedLinear> pack(const Subject& subject, const Weights& weights, Threads& threads);
OwnedMatrix<float> make_input(const Encoding& encoding, i64 tokens, i64 cols, InputPattern pattern, std::mt19937& random);

// All that is known of a product before it is computed.
struct Problem {
  Weights weights;
  std::unique_ptr<PackedLinear> linear;
  OwnedMatrix<float> x;
  std::vector<Verdict> verdicts;  // (tokens, rows)
  const Verdict& verdict(i64 t, i64 r) const { return verdicts[static_cast<std::size_t>(t * linear->shape().rows + r)]; }
};
Problem make_problem(const Subject& subject, Weights weights, OwnedMatrix<float> x, Threads& threads);
std::vector<Verdict> judge_all(const Subject& subject, const Weights& weights, Matrix<const float> x, const Codes* codes);

}  // namespace bitkerf
