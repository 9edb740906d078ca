// What the kernels of transforms/kronecker.h read, compiled for several instruction sets.
#pragma once

#include <cstdint>

namespace bitkerf {

// y = A (x * before) B * after, element by element; before and after may be null. x as (n1, n2); left: column i of A is its row i.
struct KroneckerTask {
  static constexpr std::int64_t kMostWidth = 16384;  // a row is kept on the stack, twice
  std::int64_t n1, n2;
  const float *before, *left, *right, *after;
};
using KroneckerKernel = void (*)(const KroneckerTask& task, const float* x, float* y) noexcept;
void kronecker_portable(const KroneckerTask& task, const float* x, float* y) noexcept;
void kronecker_avx2(const KroneckerTask& task, const float* x, float* y) noexcept;
void kronecker_avx512(const KroneckerTask& task, const float* x, float* y) noexcept;

}  // namespace bitkerf
