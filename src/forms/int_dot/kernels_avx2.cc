#include "forms/int_dot/kernels.h"
#include "forms/int_dot/layout.h"

#include "forms/lanes_avx2.h"

#include "forms/codebook/tables_avx2.h"

#include "forms/int_tile.inl"
#include "forms/int_units.inl"

#include "forms/int_dot/pairs.inl"

#include "forms/int_dot/kernels.inl"

namespace bitkerf {
const IntDotKernels& int_dot_kernels_avx2() { return int_dot_kernels(); }
}  // namespace bitkerf
