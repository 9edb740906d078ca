// received.h, compiled once per instruction set by the three files that include this.
#include "core/simd.h"
#include "mixers/received.h"

namespace bitkerf {
namespace {

using i64 = std::int64_t;

// Keys in groups of 16: [group][dims][16 keys], zeros behind the last.
void gather_keys(const ReceivedTask& t, float* keys) noexcept {
  for (i64 g = 0; g < (t.tokens + 15) / 16; g++)
    for (i64 d = 0; d < t.dims; d += 16) {
      Vec rows[16];
      for (i64 i = 0; i < 16; i++) rows[i] = 16 * g + i < t.tokens ? load_up_to(t.k + (16 * g + i) * t.k_stride + d, t.dims - d) : zero();
      transpose(rows);
      for (i64 i = 0; i < 16 && d + i < t.dims; i++) store(keys + (g * t.dims + d + i) * 16, rows[i]);
    }
}

void receive(const ReceivedTask& t) noexcept {
  const i64 stride = (t.tokens + 15) / 16 * 16;
  float *keys = t.scratch, *scores = keys + stride * t.dims;
  gather_keys(t, keys);
  for (i64 first = 0; first < t.tokens; first += kReceivedRows) {
    const i64 rows = first + kReceivedRows <= t.tokens ? kReceivedRows : t.tokens - first;
    const i64 groups = (first + rows - 1) / 16 + 1;  // what the last row sees
    const float* q[kReceivedRows];
    for (i64 r = 0; r < kReceivedRows; r++) q[r] = t.q + (first + (r < rows ? r : rows - 1)) * t.q_stride;
    for (i64 g = 0; g < groups; g++) {
      Vec s[kReceivedRows];
#pragma GCC unroll 8
      for (i64 r = 0; r < kReceivedRows; r++) s[r] = zero();
      const float* key = keys + g * t.dims * 16;
      for (i64 d = 0; d < t.dims; d++) {
        const Vec v = load(key + d * 16);
#pragma GCC unroll 8
        for (i64 r = 0; r < kReceivedRows; r++) s[r] = fma(splat(q[r][d]), v, s[r]);
      }
#pragma GCC unroll 8
      for (i64 r = 0; r < kReceivedRows; r++) store(scores + r * stride + 16 * g, s[r]);
    }
    for (i64 r = 0; r < rows; r++) {
      float* row = scores + r * stride;
      const i64 own = (first + r) / 16 + 1, seen = (first + r) % 16 + 1;  // groups; keys of the last
      Vec most = splat(-kInfinity), all = zero();
      for (i64 g = 0; g < own; g++) {
        Vec a = mul(load(row + 16 * g), splat(t.scale));
        if (t.softcap > 0) a = mul(splat(t.softcap), tanh(mul(a, splat(1 / t.softcap))));
        if (g + 1 == own) a = select_range(0, seen, a, splat(-kInfinity));
        store(row + 16 * g, a);
        most = max(a, most);
      }
      const Vec top = splat(largest(most));
      for (i64 g = 0; g < own; g++) {
        const Vec p = exp(sub(load(row + 16 * g), top));
        all = add(all, p);
        store(row + 16 * g, p);
      }
      const Vec share = splat(1 / sum(all));
      for (i64 g = 0; g < own; g++) store(t.sums + 16 * g, fma(load(row + 16 * g), share, load(t.sums + 16 * g)));
    }
  }
}

}  // namespace
}  // namespace bitkerf
