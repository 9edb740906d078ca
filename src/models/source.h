// Where a model gets its parameters from. A model describes itself once against this interface; the same code loads
// it, lists its layers for the planner, and shards it.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "core/buffer.h"
#include "forms/linear.h"

namespace bitkerf {

// Which rows of a stored matrix a layer wants: all of them, a part of a fused one, or all in another order.
struct Rows {
  i64 total = 0;               // rows that the stored matrix has; 0: as many as are wanted
  i64 first = 0;               // the wanted ones start here
  std::span<const i64> order;  // row i of the layer is row order[i] of the stored matrix; empty: as they lie
};

class LinearSource {
 public:
  virtual ~LinearSource() = default;
  virtual bool has(std::string_view full_name) const = 0;
  // Of a stored matrix, by full name; it must be there (Fault::file).
  virtual Shape shape(std::string_view full_name) const = 0;
  // The matrix `name` (GGUF's name without ".weight") or some of its rows; what is made has this shape. A matrix that
  // is missing, has another shape or holds what is not finite: Fault::file that names it.
  virtual std::unique_ptr<Linear> linear(std::string_view name, Shape shape, const Rows& rows = {}) = 0;
  // A vector of n floats by full name ("blk.0.attn_norm.weight", "blk.0.attn_q.bias"); finite (Fault::file).
  virtual Buffer<float> vector(std::string_view full_name, i64 n) = 0;
};

}  // namespace bitkerf
