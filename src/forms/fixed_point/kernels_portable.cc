#include "forms/fixed_point/lanes_portable.h"

#include "forms/fixed_point/kernels.inl"

namespace bitkerf {
extern const PanelKernels kWords_portable = make_words_kernels();
}  // namespace bitkerf
