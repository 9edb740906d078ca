#define BITKERF_TABLE kHadamard_avx512
#include "transforms/hadamard.inl"
