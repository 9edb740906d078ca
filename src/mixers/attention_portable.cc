#define BITKERF_TABLE kAttentionPortable
#include "mixers/attention_kernels.inl"
