#define KRONECKER kronecker_avx512
#include "transforms/kronecker.inl"
