#include "forms/packed.h"

#include "forms/lanes_avx512.h"

#include "forms/dense/kernels.inl"

namespace bitkerf {
extern const PanelKernels kDense_avx512 = make_dense();
}  // namespace bitkerf
