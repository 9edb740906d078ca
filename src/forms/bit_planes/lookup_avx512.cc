#include "forms/bit_planes/planes.h"
#include "forms/packed.h"

#include "forms/lanes_avx512.h"

#include "forms/int_tile.inl"

#include "forms/int_units.inl"

#include "forms/bit_planes/lookup_lanes.h"
#include "forms/bit_planes/lookup_lanes_avx512.h"
#include "forms/bit_planes/lookup.inl"

namespace bitkerf {
const PanelKernels& lookup_kernels_avx512(int bits) { return kLookup[bits - 1]; }
}  // namespace bitkerf
