#define BITKERF_TABLE kOpsAvx512
#include "ops/kernels.inl"
