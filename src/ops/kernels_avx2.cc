#define BITKERF_TABLE kOpsAvx2
#include "ops/kernels.inl"
