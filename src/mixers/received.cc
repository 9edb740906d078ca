#include "mixers/received.h"

#include <algorithm>

namespace bitkerf {

i64 attention_received_scratch(const AttentionShape& shape, i64 tokens, int threads) {
  return Arena::bytes_of<float>(shape.heads * round_up<i64>(tokens, 16)) + Arena::bytes_of<float>(threads * received_scratch_floats(tokens, shape.head_dim));
}

void attention_received(Matrix<const float> q, Matrix<const float> k, const AttentionShape& shape, float* received, Context& context) noexcept {
  static constexpr decltype(&received_portable) kKernels[] = {received_portable, received_avx2, received_avx512};  // by Isa
  Arena::Scope scope(context.arena);
  const i64 tokens = q.rows, stride = round_up<i64>(tokens, 16), each = received_scratch_floats(tokens, shape.head_dim);
  float* sums = context.arena.take<float>(shape.heads * stride);
  float* scratch = context.arena.take<float>(context.threads.count() * each);
  std::fill_n(sums, shape.heads * stride, 0.0f);
  const int workers = context.threads.count();
  context.threads.each([&](int worker) {
    for (i64 head = worker; head < shape.heads; head += workers) {
      const i64 kv_head = head / (shape.heads / shape.kv_heads);
      kKernels[static_cast<int>(context.isa)]({.q = q.data + head * shape.head_dim, .k = k.data + kv_head * shape.head_dim, .q_stride = q.stride,
                                               .k_stride = k.stride, .tokens = tokens, .dims = shape.head_dim, .scale = shape.scale,
                                               .softcap = shape.softcap, .sums = sums + head * stride, .scratch = scratch + worker * each});
    }
  });
  for (i64 t = 0; t < tokens; t++) {
    float sum = 0;
    for (i64 head = 0; head < shape.heads; head++) sum += sums[head * stride + t];
    received[t] = sum / static_cast<float>(shape.heads * (tokens - t));
  }
}

}  // namespace bitkerf
