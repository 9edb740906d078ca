// T = H D: D random signs divided by sqrt(n), H a Hadamard matrix (entries +-1, H H^T = n I), so T is orthogonal. It mixes
// every input into every output with equal weight: outliers of a channel become a little of everything, and what is left
// is close to normally distributed (QuIP#, QuaRot, HIGGS).
//
// H = C (x) C' (x) ... (x) S: S of Sylvester, a power of two; C of Paley, of order q + 1 for a prime q = 3 mod 4 or
// 2 (q + 1) for a prime q = 1 mod 4 (12, 20, 28, 36, 44, 60, ...). 576 = 36 x 16, 640 = 20 x 32, 1536 = 12 x 128,
// 5632 = 44 x 128. Widths that have no such product (11008 = 43 x 256) are transformed in blocks of the largest divisor
// that has one; nothing is ever padded.
//
// A file's weights depend on every sign: neither the choice of factors nor the signs may change.
#pragma once

#include <cstdint>
#include <vector>

#include "transforms/hadamard_kernels.h"
#include "transforms/transform.h"

namespace bitkerf {

class Hadamard final : public Transform {
 public:
  // Whether a block of at least kLeastBlock columns divides the width.
  static bool fits(i64 width);
  static constexpr i64 kLeastBlock = 16;

  explicit Hadamard(i64 width);  // must fit
  void input(Isa isa, const float* x, float* y) const noexcept override;
  void weights(Isa isa, const float* x, float* y) const noexcept override { input(isa, x, y); }  // T^-T = T
  void original(Isa isa, const float* x, float* y) const noexcept override;

  i64 block() const { return plan_.block; }
  std::vector<i64> factors() const;  // of a block, the power of two last

 private:
  HadamardPlan plan_{};
  std::vector<std::vector<std::uint16_t>> tables_;
  std::vector<float> signs_;
};

// The Paley matrix of this order, (order, order) of +-1; empty where there is none.
std::vector<std::int8_t> paley_matrix(i64 order);

}  // namespace bitkerf
