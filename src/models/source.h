// Where a model gets its parameters from. A model describes itself once against this interface; the same code loads
// it, lists its layers for the planner, and shards it.
#pragma once

#include <memory>
#include <string_view>

#include "core/buffer.h"
#include "forms/linear.h"

namespace bitkerf {

class LinearSource {
 public:
  virtual ~LinearSource() = default;
  virtual bool has(std::string_view name) const = 0;
  // The matrix `name` (GGUF's name without ".weight"), which must have this shape (Fault::file otherwise).
  virtual std::unique_ptr<Linear> linear(std::string_view name, Shape shape) = 0;
  // Rows [first, first + shape.rows) of a fused matrix that has `total_rows` rows.
  virtual std::unique_ptr<Linear> linear_rows(std::string_view name, i64 total_rows, i64 first, Shape shape) = 0;
  // A vector of n floats by full name ("blk.0.attn_norm.weight", "blk.0.attn_q.bias"); finite (Fault::file).
  virtual Buffer<float> vector(std::string_view full_name, i64 n) = 0;
};

}  // namespace bitkerf
