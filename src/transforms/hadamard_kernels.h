// What the kernels of transforms/hadamard.h read: plain data, because they are compiled for several instruction sets.
#pragma once

#include <cstdint>

namespace bitkerf {

struct HadamardCore {
  std::int64_t order;               // a multiple of 4
  // Row i of H or H^T: for each group of four columns the index of its signs: 16 group + (bit j: minus at column j).
  const std::uint16_t* rows;          // (order, order / 4)
  const std::uint16_t* rows_of_transpose;
};
struct HadamardPlan {
  static constexpr int kMostCores = 4;
  static constexpr std::int64_t kMostOrder = 160;  // of a core: it costs order / 4 + 3 additions a column
  std::int64_t n, block;            // blocks of columns are transformed each by itself
  int power;               // S is of order 2^power
  int cores;
  HadamardCore core[kMostCores];  // the last is next to S
  const float* signs;      // (n) +- 1 / sqrt(block)
};

struct HadamardKernels {
  void (*forward)(const HadamardPlan& plan, const float* x, float* y) noexcept;
  void (*inverse)(const HadamardPlan& plan, const float* x, float* y) noexcept;
};
extern const HadamardKernels kHadamard_portable, kHadamard_avx2, kHadamard_avx512;

}  // namespace bitkerf
