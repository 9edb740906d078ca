#define BITKERF_TABLE kIntegerAvx2
#include "integer/execute/kernels.inl"
