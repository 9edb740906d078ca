#include "forms/codebook/kernels.h"

#include "forms/lanes_portable.h"

#include "forms/codebook/tables_portable.h"

#include "forms/codebook/sources.inl"

#include "forms/int_tile.inl"

#include "forms/int_units.inl"

#include "forms/dense/kernels.inl"

#include "forms/codebook/float_kernels.inl"

namespace bitkerf {
const PanelKernels* codebook_float_kernels_portable() { return kFloatKernels; }
}  // namespace bitkerf
