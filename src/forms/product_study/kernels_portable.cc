#include "forms/product_study/kernels.inl"

namespace bitkerf {
extern const PanelKernels kStudy_portable = make_study_kernels();
}  // namespace bitkerf
