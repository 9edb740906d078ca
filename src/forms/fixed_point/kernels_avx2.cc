#include "forms/fixed_point/lanes_avx2.h"

#include "forms/fixed_point/kernels.inl"

namespace bitkerf {
extern const PanelKernels kWords_avx2 = make_words_kernels();
}  // namespace bitkerf
