#define BITKERF_TABLE kIntegerAvx512
#include "integer/execute/kernels.inl"
