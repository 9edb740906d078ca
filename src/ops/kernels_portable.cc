#define BITKERF_TABLE kOpsPortable
#include "ops/kernels.inl"
