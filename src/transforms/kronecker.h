// T x = P1^T (d X) P2: x as a matrix X of n1 rows and n2 columns, n1 n2 = n the factors closest to each other (24 x 24 = 576,
// 32 x 48 = 1536), d a factor for every element. P1 and P2 are any invertible matrices, learned for one input (FlatQuant);
// n (n1 + n2) multiplications instead of n^2.
#pragma once

#include <span>
#include <vector>

#include "transforms/kronecker_kernels.h"
#include "transforms/transform.h"

namespace bitkerf {

class Kronecker final : public Transform {
 public:
  static bool fits(i64 width) { return width <= KroneckerTask::kMostWidth && rows_of(width) >= 4; }
  static i64 rows_of(i64 width);  // n1 <= n2
  // d (n), P1 (n1, n1), P2 (n2, n2): finite, d positive, both invertible.
  static i64 count(i64 width) { return width + rows_of(width) * rows_of(width) + (width / rows_of(width)) * (width / rows_of(width)); }
  static bool takes(i64 width, std::span<const float> parameters);

  Kronecker(i64 width, std::span<const float> parameters);
  void input(Isa isa, const float* x, float* y) const noexcept override;
  void weights(Isa isa, const float* x, float* y) const noexcept override;
  void original(Isa isa, const float* x, float* y) const noexcept override;

 private:
  i64 n1_, n2_;
  std::vector<float> d_, inverse_d_;
  // Of a left product (A X, (n1, n1), stored so that column i of A is a row) and a right one (X B, (n2, n2)).
  struct Pair {
    std::vector<float> left, right;
  };
  Pair input_, weights_, original_;
};

// The inverse of a (n, n), row-major; empty where there is none to speak of.
std::vector<double> inverse_of(std::span<const double> a, i64 n);

}  // namespace bitkerf
