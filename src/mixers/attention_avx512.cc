#define BITKERF_TABLE kAttentionAvx512
#include "mixers/attention_kernels.inl"
