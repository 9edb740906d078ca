#include "mixers/attention_cache.h"

#include <new>
#include <utility>

#include <sys/mman.h>

#include "core/checked.h"

namespace bitkerf {
namespace {

i64 plain_elements(i64 head_dim, i64 value_cols) noexcept { return kBlockKeys * (head_dim + value_cols); }
// Two floats a key are four elements.
i64 short_elements(i64 head_dim, i64 value_cols) noexcept {
  return kShortBlockKeys * (short_dims(head_dim) + value_cols + 4);
}
i64 plain_scratch(i64 rows, i64 head_dim, i64 value_cols) noexcept {
  return attention_scratch(rows, head_dim, value_cols);
}
i64 short_scratch(i64 rows, i64 head_dim, i64 value_cols) noexcept {
  return attention_short_scratch(rows, head_dim, value_cols);
}

// One row per CacheType, in its order.
constexpr AttentionCacheRow kRows[] = {
    {2, kBlockKeys, plain_elements, plain_scratch},
    {4, kBlockKeys, plain_elements, plain_scratch},
    {2, kShortBlockKeys, short_elements, short_scratch},
};

}  // namespace

const AttentionCacheRow& row_of(CacheType type) { return kRows[static_cast<int>(type)]; }

SpareMemory::~SpareMemory() {
  if (memory_) munmap(memory_, static_cast<std::size_t>(bytes_));
}

void* SpareMemory::take(i64 bytes) {
  {
    std::lock_guard lock(mutex_);
    if (memory_ && bytes_ == bytes) return std::exchange(memory_, nullptr);
  }
  auto size = static_cast<std::size_t>(bytes);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Where the system gives pages of 2 MiB unasked, one would be cleared for the first token of every layer, though a
  // prompt of 512 tokens fills 400 KiB of it.
  madvise(memory, size, MADV_NOHUGEPAGE);
  return memory;
}

void SpareMemory::give(void* memory, i64 bytes) noexcept {
  {
    std::lock_guard lock(mutex_);
    std::swap(memory_, memory);
    std::swap(bytes_, bytes);
  }
  if (memory) munmap(memory, static_cast<std::size_t>(bytes));
}

AttentionState::AttentionState(const AttentionShape& shape, CacheType type, i64 max_tokens,
                               std::shared_ptr<SpareMemory> spare)
    : row_(row_of(type)),
      kv_heads_(shape.kv_heads),
      head_dim_(shape.head_dim),
      value_dim_(shape.value_dim),
      value_cols_(round_up<i64>(shape.value_dim, 16)),
      max_tokens_(max_tokens),
      head_elements_(row_.head_elements(head_dim_, value_cols_)),
      spare_(std::move(spare)) {
  CHECK_GE(max_tokens, 1);
  // 64 bytes more: kernels may read whole vectors.
  i64 block_bytes = kv_heads_ * head_elements_ * row_.element_bytes;
  std::optional<i64> bytes = checked_mul<i64>(ceil_div(max_tokens, row_.block_keys), block_bytes);
  if (bytes) bytes = checked_add<i64>(*bytes, 64);
  if (!bytes) throw std::bad_alloc();
  bytes_ = *bytes;
  memory_ = spare_->take(bytes_);
}

AttentionState::~AttentionState() { spare_->give(memory_, bytes_); }

AttentionCache AttentionState::head(i64 kv_head) const {
  return {.blocks = static_cast<char*>(memory_) + kv_head * head_elements_ * row_.element_bytes,
          .block_stride = kv_heads_ * head_elements_,
          .head_dim = head_dim_,
          .value_dim = value_dim_,
          .value_cols = value_cols_};
}

}  // namespace bitkerf
