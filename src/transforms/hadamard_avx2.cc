#define BITKERF_TABLE kHadamard_avx2
#include "transforms/hadamard.inl"
