// The only thing a model knows of its matrices: y = W x.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/context.h"

namespace bitkerf {

class Linear {
 public:
  virtual ~Linear() = default;
  virtual Shape shape() const = 0;  // rows: outputs, cols: inputs
  virtual i64 bytes() const = 0;    // of weights, as read once per token in decode
  virtual std::string describe() const = 0;  // for people: "as_stored Q4_1"

  // y (tokens, rows) = x (tokens, cols) W^T. Deterministic: a token's result has the same bits whatever the number
  // of tokens or threads. Takes at most scratch(tokens) bytes of the arena. One call at a time per Context.
  virtual void apply(Matrix<const float> x, Matrix<float> y, Context& context) const noexcept = 0;
  virtual i64 scratch(i64 tokens) const = 0;

  // Matrices of this one's columns whose rows, one below the other, are its own; empty: it is multiplied as a whole.
  virtual std::span<const std::unique_ptr<Linear>> parts() const { return {}; }
  // With parts: row i of them, one below the other, is this one's row row_order()[i]; empty: row i.
  virtual std::span<const std::int32_t> row_order() const { return {}; }
  // Packed matrices of this one's rows, each of some of its columns, whose sum it is; empty: it is none.
  virtual std::span<const std::unique_ptr<Linear>> addends() const { return {}; }

  // The exact weights this layer stands for, rows [first, first + out.rows): the judge in tests, and the lookup of a
  // tied embedding. May be called from several threads.
  virtual void expand(i64 first, Matrix<float> out) const noexcept = 0;
};

// Several layers with one input (q, k, v; gate, up): the input is encoded once and the team joins once.
struct Product {
  const Linear* linear;
  Matrix<float> y;  // (tokens, linear->shape().rows)
};
void multiply(std::span<const Product> products, Matrix<const float> x, Context& context) noexcept;
// One matrix of parts, at least one: rows of different formats, forms and encodings. order: a permutation of the rows (see
// row_order()), or empty.
std::unique_ptr<Linear> stack_rows(std::vector<std::unique_ptr<Linear>> parts, std::vector<std::int32_t> order = {});
// The sum of packed matrices that read one input, at least one: columns of different formats, forms and encodings.
std::unique_ptr<Linear> add_columns(std::vector<std::unique_ptr<Linear>> addends);
// Arena bytes that multiply() takes at most for these layers.
i64 multiply_scratch(std::span<const Linear* const> linears, i64 tokens);

// Is shown the input of every call of multiply() under a Context that names it, on the calling thread, before the
// products are computed. The matrices must read floats.
class InputObserver {
 public:
  virtual ~InputObserver() = default;
  virtual void see(std::span<const Product> products, Matrix<const float> x, Context& context) noexcept = 0;
};

}  // namespace bitkerf
