#include "forms/packed.h"

#include "forms/lanes_portable.h"

#include "forms/dense/kernels.inl"

namespace bitkerf {
extern const PanelKernels kDense_portable = make_dense();
}  // namespace bitkerf
