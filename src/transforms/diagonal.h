// Transforms that treat every column by itself; their parameters are chosen for one input (compress/input_transforms.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "transforms/transform.h"

namespace bitkerf {

// T x = d x, column by column (SmoothQuant; CrossQuant). A factor of 0 takes its column out: the weights there become zero,
// and original() gives zeros.
class Diagonal final : public Transform {
 public:
  static bool fits(i64 width) { return width <= kMostTransformed; }
  // Finite, not negative, and small or large enough that 1 / d is a normal number too.
  static bool takes(i64 width, std::span<const float> factors);

  explicit Diagonal(std::span<const float> factors);
  void input(Isa isa, const float* x, float* y) const noexcept override;
  void weights(Isa isa, const float* x, float* y) const noexcept override;
  void original(Isa isa, const float* x, float* y) const noexcept override { input(isa, x, y); }

 private:
  std::vector<float> factors_, inverse_;
};

// T x: some of the columns, in ascending order. The parameters are their numbers. Not invertible: weights() are those columns
// of a row, and original() puts them back among zeros.
class Columns final : public Transform {
 public:
  static bool fits(i64 width) { return width <= kMostTransformed; }
  static bool takes(i64 width, std::span<const float> columns);

  Columns(i64 width, std::span<const float> columns);
  i64 outputs(i64) const noexcept override { return static_cast<i64>(columns_.size()); }
  void input(Isa isa, const float* x, float* y) const noexcept override;
  void weights(Isa isa, const float* x, float* y) const noexcept override { input(isa, x, y); }
  void original(Isa isa, const float* x, float* y) const noexcept override;

 private:
  i64 width_;
  std::vector<std::int32_t> columns_;
};

}  // namespace bitkerf
