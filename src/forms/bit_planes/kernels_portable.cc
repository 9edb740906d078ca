#include "forms/bit_planes/planes.h"
#include "forms/unit_sums.h"

#include "forms/lanes_portable.h"

#include "forms/int_tile.inl"

#include "forms/int_units.inl"

#include "forms/bit_planes/kernels.inl"

namespace bitkerf {
const PanelKernels& planes_kernels_portable(int bits, int shift, bool group16, bool minimum, int sums) {
  static const PlanesTable kTable;
  return kTable.rows[bits - 1][shift][group16][minimum][sums];
}
}  // namespace bitkerf
