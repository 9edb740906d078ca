#include "forms/product_study/kernels.inl"

namespace bitkerf {
extern const PanelKernels kStudy_avx2 = make_study_kernels();
}  // namespace bitkerf
