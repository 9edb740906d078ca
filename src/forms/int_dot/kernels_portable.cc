#include "forms/int_dot/kernels.h"
#include "forms/int_dot/layout.h"

#include "forms/lanes_portable.h"

#include "forms/codebook/tables_portable.h"

#include "forms/int_tile.inl"
#include "forms/int_units.inl"

#include "forms/int_dot/pairs.inl"

#include "forms/int_dot/kernels.inl"

namespace bitkerf {
const IntDotKernels& int_dot_kernels_portable() { return int_dot_kernels(); }
}  // namespace bitkerf
