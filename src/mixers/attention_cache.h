// Keys and values of one sequence in one layer.
#pragma once

#include <algorithm>

#include "mixers/attention_kernels.h"
#include "mixers/mixer.h"

namespace bitkerf {

// Address space for max_tokens; the system gives memory when a token is first written.
class AttentionState final : public MixerState {
 public:
  AttentionState(const AttentionShape& shape, i64 element_bytes, i64 max_tokens);  // throws std::bad_alloc
  ~AttentionState() override;
  AttentionState(const AttentionState&) = delete;

  i64 tokens() const override { return tokens_; }
  void truncate(i64 tokens) noexcept override { tokens_ = std::min(tokens_, tokens); }
  i64 bytes_per_token() const override { return kv_heads_ * head_elements() / kBlockKeys * element_bytes_; }

  i64 max_tokens() const { return max_tokens_; }
  void grow(i64 tokens) noexcept { tokens_ += tokens; }
  AttentionCache head(i64 kv_head) const;

 private:
  i64 head_elements() const { return kBlockKeys * (head_dim_ + value_cols_); }  // of one head in one block
  i64 kv_heads_, head_dim_, value_dim_, value_cols_, element_bytes_, max_tokens_;
  i64 tokens_ = 0, bytes_ = 0;
  void* memory_ = nullptr;
};

}  // namespace bitkerf
