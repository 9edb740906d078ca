#define BITKERF_TABLE kIntegerPortable
#include "integer/execute/kernels.inl"
