#include "forms/packed.h"

#include "forms/lanes_avx2.h"

#include "forms/codebook/tables_avx2.h"

#include "forms/dense/kernels.inl"

#include "forms/dense/halves.inl"

namespace bitkerf {
extern const PanelKernels kDense_avx2 = make_dense();
namespace {
constexpr HalfKernels kHalves = make_halves();
}
// f16, bf16, then bf16 times bf16 without and with AVX512-BF16.
extern const PanelKernels kHalves_avx2[4] = {kHalves.f16, kHalves.bf16, kHalves.brain, kHalves.brain_native};
}  // namespace bitkerf
