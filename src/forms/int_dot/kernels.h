// The tables of kernels of int_dot; kernels.inl fills them, once per instruction set.
#pragma once

#include "forms/unit_sums.h"

namespace bitkerf {

struct IntDotKernels {
  // Indices: [bits - 2] [scale per 16 columns] ... [UnitSums::kind] [u beyond 127]
  PanelKernels codes[7][2][2][UnitSums::kKinds][2];  // u is the code; [minimum]
  PanelKernels table[7][2][UnitSums::kKinds][2];     // u is a byte from a table
  PanelKernels pairs[7][2][2];                       // two bytes; [late]
};
const IntDotKernels& int_dot_kernels_portable();
const IntDotKernels& int_dot_kernels_avx2();
const IntDotKernels& int_dot_kernels_avx512();

}  // namespace bitkerf
