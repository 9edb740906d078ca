#include "forms/codebook/kernels.h"

#include "forms/lanes_avx2.h"

#include "forms/codebook/tables_avx2.h"

#include "forms/codebook/sources.inl"

#include "forms/int_tile.inl"

#include "forms/int_units.inl"

#include "forms/dense/kernels.inl"

#include "forms/codebook/float_kernels.inl"

namespace bitkerf {
const PanelKernels* codebook_float_kernels_avx2() { return kFloatKernels; }
}  // namespace bitkerf
