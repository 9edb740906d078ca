// GCC 12 takes the undefined inputs of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "forms/fixed_point/lanes_avx512.h"

#include "forms/fixed_point/kernels.inl"

namespace bitkerf {
extern const PanelKernels kWords_avx512 = make_words_kernels();
}  // namespace bitkerf
