#include "forms/lanes_avx512.h"

#include "forms/packed.h"

#include "forms/int_tile.inl"

#include "forms/product_study/refine.inl"

namespace bitkerf {
const RefineKernels& refine_kernels_avx512() { return refine_kernels(); }
}  // namespace bitkerf
