#include "forms/as_stored/codec.h"
#include "forms/packed.h"

#include "forms/lanes_avx2.h"

#include "forms/int_tile.inl"
#include "forms/as_stored/kernels.inl"

namespace bitkerf {
extern const PanelKernels* const kAsStored_avx2;
const PanelKernels* const kAsStored_avx2 = Table<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13>::rows;
}  // namespace bitkerf
