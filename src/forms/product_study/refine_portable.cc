#include "forms/lanes_portable.h"

#include "forms/packed.h"

#include "forms/int_tile.inl"

#include "forms/product_study/refine.inl"

namespace bitkerf {
const RefineKernels& refine_kernels_portable() { return refine_kernels(); }
}  // namespace bitkerf
