// How much attention each token of a run receives from the tokens of that run: what token pruning goes by.
#pragma once

#include "mixers/mixer.h"

namespace bitkerf {

// received[i]: the weight of token i in the softmax of the run's tokens at and after it, mean over these and over heads. q and k
// are the rows of one run, after rotary. Softmax goes over the run alone: tokens that came before it take no share. A window is
// not looked at. received: q.rows floats.
void attention_received(Matrix<const float> q, Matrix<const float> k, const AttentionShape& shape, float* received, Context& context) noexcept;
i64 attention_received_scratch(const AttentionShape& shape, i64 tokens, int threads);

// A head by one worker: adds the softmax weights of all queries to sums (tokens rounded up to 16), in the order of queries.
// scratch: received_scratch_floats().
struct ReceivedTask {
  const float *q, *k;  // of the head, of its key-value head
  std::int64_t q_stride, k_stride, tokens, dims;
  float scale, softcap;
  float *sums, *scratch;
};
static constexpr std::int64_t kReceivedRows = 8;
static constexpr std::int64_t received_scratch_floats(std::int64_t tokens, std::int64_t dims) {
  const std::int64_t keys = (tokens + 15) / 16 * 16;
  return keys * (dims + kReceivedRows) + (dims + 15) / 16 * 16 * 16;
}
void received_portable(const ReceivedTask& task) noexcept;
void received_avx2(const ReceivedTask& task) noexcept;
void received_avx512(const ReceivedTask& task) noexcept;

}  // namespace bitkerf
