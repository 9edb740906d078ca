#define BITKERF_TABLE kHadamard_portable
#include "transforms/hadamard.inl"
