#include "forms/as_stored/codec.h"
#include "forms/packed.h"

#include "forms/lanes_avx512.h"

#include "forms/int_tile.inl"
#include "forms/as_stored/kernels.inl"

namespace bitkerf {
const PanelKernels* as_stored_kernels_avx512() { return table_of<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13>(); }
}  // namespace bitkerf
