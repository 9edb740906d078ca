// Keys and values of one sequence in one layer.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>

#include "mixers/attention_kernels.h"
#include "mixers/mixer.h"

namespace bitkerf {

const AttentionCacheRow& row_of(CacheType type);

// Memory that a sequence has left behind, for the next one: its pages need no clearing by the system.
class SpareMemory {
 public:
  SpareMemory() = default;
  ~SpareMemory();
  SpareMemory(const SpareMemory&) = delete;
  void* take(i64 bytes);  // throws std::bad_alloc
  void give(void* memory, i64 bytes) noexcept;

 private:
  std::mutex mutex_;
  void* memory_ = nullptr;
  i64 bytes_ = 0;
};

// Address space for max_tokens; the system gives memory when a token is first written.
class AttentionState final : public MixerState {
 public:
  AttentionState(const AttentionShape& shape, CacheType type, i64 max_tokens,
                 std::shared_ptr<SpareMemory> spare);  // throws std::bad_alloc
  ~AttentionState() override;
  AttentionState(const AttentionState&) = delete;

  i64 tokens() const override { return tokens_; }
  void truncate(i64 tokens) noexcept override { tokens_ = std::min(tokens_, tokens); }
  i64 bytes_per_token() const override { return kv_heads_ * head_elements_ * row_.element_bytes / row_.block_keys; }

  i64 max_tokens() const { return max_tokens_; }
  void grow(i64 tokens) noexcept { tokens_ += tokens; }
  AttentionCache head(i64 kv_head) const;

 private:
  const AttentionCacheRow& row_;
  i64 kv_heads_, head_dim_, value_dim_, value_cols_, max_tokens_;
  i64 head_elements_;  // of one head in one block
  i64 tokens_ = 0, bytes_ = 0;
  std::shared_ptr<SpareMemory> spare_;
  void* memory_ = nullptr;
};

}  // namespace bitkerf
