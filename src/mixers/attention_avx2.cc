#define BITKERF_TABLE kAttentionAvx2
#include "mixers/attention_kernels.inl"
