#include "forms/bit_planes/planes.h"
#include "forms/packed.h"

#include "forms/lanes_avx2.h"

#include "forms/int_tile.inl"

#include "forms/int_units.inl"

#include "forms/bit_planes/popcount.inl"

namespace bitkerf {
const PanelKernels& popcount_kernels_avx2(bool bipolar) { return kPopcount[bipolar]; }
}  // namespace bitkerf
