#include "mixers/attention_cache.h"

#include <new>

#include <sys/mman.h>

#include "core/checked.h"

namespace bitkerf {

AttentionState::AttentionState(const AttentionShape& shape, i64 element_bytes, i64 max_tokens)
    : kv_heads_(shape.kv_heads),
      head_dim_(shape.head_dim),
      value_dim_(shape.value_dim),
      value_cols_(round_up<i64>(shape.value_dim, 16)),
      element_bytes_(element_bytes),
      max_tokens_(max_tokens) {
  CHECK_GE(max_tokens, 1);
  // 64 bytes more: kernels may read whole vectors.
  i64 block_bytes = kv_heads_ * head_elements() * element_bytes;
  std::optional<i64> bytes = checked_mul<i64>(ceil_div(max_tokens, kBlockKeys), block_bytes);
  if (bytes) bytes = checked_add<i64>(*bytes, 64);
  if (!bytes) throw std::bad_alloc();
  memory_ = mmap(nullptr, static_cast<std::size_t>(*bytes), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory_ == MAP_FAILED) throw std::bad_alloc();
  bytes_ = *bytes;
}

AttentionState::~AttentionState() { munmap(memory_, static_cast<std::size_t>(bytes_)); }

AttentionCache AttentionState::head(i64 kv_head) const {
  return {.blocks = static_cast<char*>(memory_) + kv_head * head_elements() * element_bytes_,
          .block_stride = kv_heads_ * head_elements(),
          .head_dim = head_dim_,
          .value_dim = value_dim_,
          .value_cols = value_cols_};
}

}  // namespace bitkerf
