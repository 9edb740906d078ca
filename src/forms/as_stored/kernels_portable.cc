#include "forms/as_stored/codec.h"
#include "forms/packed.h"

#include "forms/lanes_portable.h"

#include "forms/int_tile.inl"
#include "forms/as_stored/kernels.inl"

namespace bitkerf {
extern const PanelKernels* const kAsStored_portable;
const PanelKernels* const kAsStored_portable = Table<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13>::rows;
}  // namespace bitkerf
