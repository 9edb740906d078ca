#define KRONECKER kronecker_avx2
#include "transforms/kronecker.inl"
