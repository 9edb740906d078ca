#define KRONECKER kronecker_portable
#include "transforms/kronecker.inl"
