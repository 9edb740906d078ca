#include "forms/packed.h"

#include "forms/lanes_avx2.h"

#include "forms/dense/kernels.inl"

namespace bitkerf {
extern const PanelKernels kDense_avx2 = make_dense();
}  // namespace bitkerf
