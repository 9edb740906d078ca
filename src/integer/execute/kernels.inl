// See kernels.h. Everything but products() is a plain loop that the compiler vectorises for the flags of the file.
#include <cstddef>

#include "integer/execute/kernels.h"
#include "integer/execute/products.inl"

namespace bitkerf {
namespace {

using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using u64 = std::uint64_t;

// x >> shift (towards minus infinity) of |x| < 2^62, by an unsigned shift: AVX2 has no signed one of 64 bits.
inline i64 shift_right(i64 x, int shift) {
  constexpr u64 kBias = u64{1} << 62;
  return static_cast<i64>((static_cast<u64>(x) + kBias) >> shift) - static_cast<i64>(kBias >> shift);
}
inline i64 clip(i64 x, i64 limit) { return x < -limit ? -limit : x > limit ? limit : x; }
inline i32 clip32(i32 x, i32 limit) { return x < -limit ? -limit : x > limit ? limit : x; }
// x 2^shift, rounded; -63 <= shift, what shifts out on the left is the caller's.
inline i64 shifted(i64 x, int shift) {
  if (shift >= 0) return static_cast<i64>(static_cast<u64>(x) << shift);
  int right = -shift > 62 ? 62 : -shift;
  return (x + (i64{1} << (right - 1))) >> right;
}
inline int bit_length(u64 x) { return x == 0 ? 0 : 64 - __builtin_clzll(x); }

void rescale(const i32* x, const i32* multipliers, i32 shift, i32 limit, i64 n, i32* y) noexcept {
  const i64 half = i64{1} << (shift - 1);
  for (i64 i = 0; i < n; i++) y[i] = static_cast<i32>(clip(shift_right(static_cast<i64>(x[i]) * multipliers[i] + half, shift), limit));
}

void rescale_wide(const i32* high, const i32* low, const i32* multipliers, i32 shift, i32 limit, i64 n, i32* y) noexcept {
  for (i64 i = 0; i < n; i++) {
    __int128 product = static_cast<__int128>((static_cast<i64>(high[i]) << 8) + low[i]) * multipliers[i] + (i64{1} << (shift - 1));
    __int128 rounded = product >> shift;
    y[i] = rounded < -limit ? -limit : rounded > limit ? limit : static_cast<i32>(rounded);
  }
}

void add(i32* x, const i32* delta, i64 n) noexcept {
  for (i64 i = 0; i < n; i++) x[i] = clip32(x[i] + delta[i], 1 << 30);
}

void look_up(const i8* codes, Dyadic scale, i64 n, i32* x) noexcept {
  const i64 half = i64{1} << (scale.shift - 1);
  for (i64 i = 0; i < n; i++) x[i] = static_cast<i32>(shift_right(static_cast<i64>(codes[i]) * scale.multiplier + half, scale.shift));
}

void narrow_to_8(const i32* x, i64 n, i8* y) noexcept {
  for (i64 i = 0; i < n; i++) y[i] = static_cast<i8>(x[i]);
}
void narrow_to_16(const i32* x, i64 n, i16* y) noexcept {
  for (i64 i = 0; i < n; i++) y[i] = static_cast<i16>(x[i]);
}
void split(const i32* x, i64 n, i8* high, i8* low) noexcept {
  for (i64 i = 0; i < n; i++) {
    i32 top = (x[i] + 128) >> 8;
    high[i] = static_cast<i8>(top);
    low[i] = static_cast<i8>(x[i] - top * 256);
  }
}

// 2^61 / sqrt(a) of 2^60 <= a < 2^62, in (2^30, 2^31]; relative error below 2^-28.
inline u64 inverse_root(u64 a) {
  const u64 v = a >> 30;                   // v / 2^32 in [1/4, 1)
  u64 r = 0x95555555u - (v >> 2) - (v >> 4) - (v >> 6);  // Q30 of the chord of v^-1/2, within a fifth
  for (int i = 0; i < 5; i++) {
    u64 square = (r * r) >> 30;            // Q30, up to 4
    u64 scaled = (v * square) >> 32;       // v r^2 as Q30, near 1
    r = (r * ((u64{3} << 30) - scaled)) >> 31;
  }
  return r;
}

void normalize(const i32* x, i64 epsilon, i64 n, i32* z) noexcept {
  i32 largest = 0;
  for (i64 i = 0; i < n; i++) {
    i32 size = x[i] < 0 ? -x[i] : x[i];
    largest = size > largest ? size : largest;
  }
  // Squares of 23 bits and at most 2^16 of them fit 62 bits.
  const int bits = bit_length(static_cast<u64>(largest)), drop = bits > 22 ? bits - 22 : 0;
  i64 sum = 0;
  for (i64 i = 0; i < n; i++) {
    i64 y = x[i] >> drop;
    sum += y * y;
  }
  u64 a = static_cast<u64>(sum) + (static_cast<u64>(epsilon) >> (2 * drop));
  if (a == 0) a = 1;
  int doublings = (62 - bit_length(a)) / 2;  // a 4^doublings in [2^60, 2^62)
  const i64 r = static_cast<i64>(inverse_root(a << (2 * doublings)));
  const int shift = 31 - doublings;          // at least 1
  const i64 half = i64{1} << (shift - 1);
  for (i64 i = 0; i < n; i++) z[i] = static_cast<i32>(shift_right((x[i] >> drop) * r + half, shift));
}

void center(i32* x, i64 n) noexcept {
  i64 sum = 0;
  for (i64 i = 0; i < n; i++) sum += x[i];
  i64 twice = 2 * sum + n, mean = twice / (2 * n);
  if (twice < 0 && mean * 2 * n != twice) mean--;
  for (i64 i = 0; i < n; i++) x[i] -= static_cast<i32>(mean);
}

void rotate(const i16* table, const i32* x, i64 pairs, i64 n, i32 limit, i16* y) noexcept {
  for (i64 i = 0; i < pairs; i++) {
    i32 a = x[i], b = x[i + pairs], c = table[2 * i], s = table[2 * i + 1];
    y[i] = static_cast<i16>(clip((static_cast<i64>(a) * c - static_cast<i64>(b) * s + (1 << 16)) >> 17, limit));
    y[i + pairs] = static_cast<i16>(clip((static_cast<i64>(b) * c + static_cast<i64>(a) * s + (1 << 16)) >> 17, limit));
  }
  for (i64 i = 2 * pairs; i < n; i++) y[i] = static_cast<i16>(clip32((x[i] + 4) >> 3, limit));
}

void dots(const i16* q, const i16* keys, i64 stride, i64 count, i64 n, i32* out) noexcept {
  for (i64 j = 0; j < count; j++) {
    const i16* key = keys + j * stride;
    i32 sum = 0;
    for (i64 i = 0; i < n; i++) sum += static_cast<i32>(q[i]) * key[i];
    out[j] = sum;
  }
}

void softmax(i32* scores, Dyadic scale, const i32* powers, i64 count, i16* p) noexcept {
  i32 largest = scores[0];
  for (i64 j = 1; j < count; j++) largest = scores[j] > largest ? scores[j] : largest;
  const i64 half = i64{1} << (scale.shift - 1);
  i64 sum = 0;
  for (i64 j = 0; j < count; j++) {
    i64 below = shift_right((static_cast<i64>(largest) - scores[j]) * scale.multiplier + half, scale.shift);
    i32 fall = static_cast<i32>(below > (31 << 16) ? 31 << 16 : below);
    i32 entry = (fall >> 8) & 255, rest = fall & 255;
    i32 power = powers[entry] - (((powers[entry] - powers[entry + 1]) * rest + 128) >> 8);  // Q24
    scores[j] = power >> (fall >> 16);
    sum += scores[j];
  }
  const i64 reciprocal = (i64{1} << 55) / sum;  // sum is at least 2^24: the largest weighs 1
  for (i64 j = 0; j < count; j++) {
    i64 share = shift_right(scores[j] * reciprocal + (i64{1} << 39), 40);
    p[j] = static_cast<i16>(share > 32767 ? 32767 : share);
  }
}

void weigh(const i16* p, const i16* values, i64 stride, i64 count, i64 n, i32* out) noexcept {
  for (i64 i = 0; i < n; i++) out[i] = 0;
  for (i64 j = 0; j < count; j++) {
    const i16* value = values + j * stride;
    const i32 share = p[j];
    if (share == 0) continue;
    for (i64 i = 0; i < n; i++) out[i] += share * value[i];
  }
}

void gate(const i32* x, const i32* table, i64 n, i32* y) noexcept {
  constexpr i32 kEnd = 16 << 16;
  for (i64 i = 0; i < n; i++) {
    i32 at = clip32(x[i], kEnd) + kEnd;
    i32 entry = at >> 10, rest = at & 1023;
    entry = entry > kGateEntries - 2 ? static_cast<i32>(kGateEntries) - 2 : entry;
    rest = at - (entry << 10);
    i32 f = table[entry] + (((table[entry + 1] - table[entry]) * rest + 512) >> 10);
    y[i] = static_cast<i32>(shift_right(static_cast<i64>(x[i]) * f + (1 << 19), 20));
  }
}

void multiply(const i32* gate, const i32* up, i64 n, i32* y) noexcept {
  for (i64 i = 0; i < n; i++)
    y[i] = static_cast<i32>(clip(shift_right(static_cast<i64>(gate[i]) * up[i] + (1 << 15), 16), 0x7fffffff));
}

void add_shifted(const i32* dot, const i8* exponents, i32 plus, i64 n, i64* acc) noexcept {
  for (i64 i = 0; i < n; i++) acc[i] += shifted(dot[i], exponents[i] + plus);
}

void to_blocks(const i32* x, i32 exponent, i64 n, i8* codes, i8* exponents) noexcept {
  for (i64 block = 0; block < n / 32; block++, x += 32, codes += 32) {
    i32 largest = 0;
    for (int i = 0; i < 32; i++) {
      i32 size = x[i] < 0 ? -x[i] : x[i];
      largest = size > largest ? size : largest;
    }
    int drop = bit_length(static_cast<u64>(largest)) - 7;
    if (exponent + drop < -128) drop = -128 - exponent;
    for (int i = 0; i < 32; i++) codes[i] = static_cast<i8>(clip(shifted(x[i], -drop), 127));
    exponents[block] = static_cast<i8>(largest == 0 ? -128 : exponent + drop);  // zeros do not hold up the others of their row
  }
}

void unpack(const std::uint8_t* nibbles, i64 n, std::uint8_t* codes) noexcept {
  for (i64 i = 0; i < n; i++) {
    codes[i] = static_cast<std::uint8_t>((nibbles[i] & 15) + 120);
    codes[i + n] = static_cast<std::uint8_t>((nibbles[i] >> 4) + 120);
  }
}

i32 dot_bytes(const i8* a, const i8* b, i64 n) noexcept {
  i32 sum = 0;
  for (i64 i = 0; i < n; i++) sum += static_cast<i32>(a[i]) * b[i];
  return sum;
}

}  // namespace

extern const IntegerKernels BITKERF_TABLE;
const IntegerKernels BITKERF_TABLE = {products, rescale, rescale_wide, add, look_up, narrow_to_8, narrow_to_16, split, normalize, center, rotate,
                                      dots, softmax, weigh, gate, multiply, add_shifted, to_blocks, unpack, dot_bytes};

}  // namespace bitkerf
