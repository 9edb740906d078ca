#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/float16.h"

#include "forms/tile_set.h"

namespace bitkerf {
namespace {

struct Lanes {
  struct F { float v[16]; };
  struct I { std::int32_t v[16]; };
  struct B { std::uint8_t v[64]; };
  static constexpr int kUnroll = 1;
  static constexpr bool kOneDot = true;  // dot() is the same whatever the width of the codes
  static constexpr int kTokens = 1;

  template <class V, class Op>
  static V each(Op op) {
    V r;
    for (int i = 0; i < static_cast<int>(sizeof r.v / sizeof r.v[0]); i++) r.v[i] = op(i);
    return r;
  }

  static const TileSet& tiles(TileKind kind) { return int_tiles_portable(kind); }

  static F load(const float* p) { return each<F>([&](int i) { return p[i]; }); }
  static void store(float* p, F v) { std::memcpy(p, v.v, sizeof v.v); }
  static F zero() { return all(0); }
  static F all(float x) { return each<F>([&](int) { return x; }); }
  static F mul(F a, F b) { return each<F>([&](int i) { return a.v[i] * b.v[i]; }); }
  static F fma(F a, F b, F c) { return each<F>([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); }); }
  static F to_float(I v) { return each<F>([&](int i) { return static_cast<float>(v.v[i]); }); }
  static F from_half(const std::uint16_t* p) { return each<F>([&](int i) { return f16_to_f32(p[i]); }); }
  static F bits_to_float(I v) { F r; std::memcpy(r.v, v.v, sizeof r.v); return r; }

  static I all_int(std::int32_t x) { return each<I>([&](int) { return x; }); }
  static I from_u8(const std::uint8_t* p) { return each<I>([&](int i) { return p[i]; }); }
  static I from_i8(const std::uint8_t* p) { return each<I>([&](int i) { return static_cast<std::int8_t>(p[i]); }); }
  static I from_u16(const std::uint16_t* p) { return each<I>([&](int i) { return p[i]; }); }
  static constexpr bool kByteCounts = false;
  static constexpr int kCountTokens = 1;
  static I words(const std::uint8_t* p) { I r; std::memcpy(r.v, p, 64); return r; }
  static I both(I a, I b) { return each<I>([&](int i) { return a.v[i] & b.v[i]; }); }
  static I differ(I a, I b) { return each<I>([&](int i) { return a.v[i] ^ b.v[i]; }); }
  static I add_ones(I sum, I bits) { return each<I>([&](int i) { return sum.v[i] + __builtin_popcount(static_cast<unsigned>(bits.v[i])); }); }
  static I subtract_ones(I sum, I bits) { return each<I>([&](int i) { return sum.v[i] - __builtin_popcount(static_cast<unsigned>(bits.v[i])); }); }
  static I sum_of_bytes(I sum) { return sum; }  // of no use here: sums are 32-bit already
  static I minus(I a, I b) { return each<I>([&](int i) { return a.v[i] - b.v[i]; }); }
  static I band(I a, int mask) { return each<I>([&](int i) { return a.v[i] & mask; }); }
  static I bor(I a, I b) { return each<I>([&](int i) { return a.v[i] | b.v[i]; }); }
  static I add(I a, I b) { return each<I>([&](int i) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) + static_cast<std::uint32_t>(b.v[i])); }); }
  static I sub(I a, int b) { return each<I>([&](int i) { return a.v[i] - b; }); }
  static I negate(I a) { return each<I>([&](int i) { return -a.v[i]; }); }
  static I shr(I a, int n) { return each<I>([&](int i) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) >> n); }); }
  static I shl(I a, int n) { return each<I>([&](int i) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) << n); }); }

  static B bytes(const std::uint8_t* p) { B r; std::memcpy(r.v, p, 64); return r; }
  static void store_bytes(std::uint8_t* p, B v) { std::memcpy(p, v.v, 64); }
  static B bytes_and(B a, int mask) { return each<B>([&](int i) { return static_cast<std::uint8_t>(a.v[i] & mask); }); }
  static B bytes_or(B a, B b) { return each<B>([&](int i) { return static_cast<std::uint8_t>(a.v[i] | b.v[i]); }); }
  static B bytes_shr(B a, int n) { return each<B>([&](int i) { return static_cast<std::uint8_t>(a.v[i] >> n); }); }
  static B bytes_shl(B a, int n) { return each<B>([&](int i) { return static_cast<std::uint8_t>(a.v[i] << n); }); }
  static B bytes_set(B a, const std::uint8_t* p, int bit) {
    return each<B>([&](int i) { return static_cast<std::uint8_t>(a.v[i] | ((p[i / 8] >> (i % 8) & 1) * bit)); });
  }
  static B lookup(B index, const std::uint8_t* table16) { return each<B>([&](int i) { return table16[index.v[i] & 15]; }); }
  template <int kBits>
  static I dot(I sum, B codes, const std::int8_t* x) {
    return each<I>([&](int i) {
      const std::uint8_t* c = codes.v + 4 * i;
      return sum.v[i] + c[0] * x[0] + c[1] * x[1] + c[2] * x[2] + c[3] * x[3];
    });
  }

  // q[i] = nearest integer, ties to even, of x[i] * factor for 16 floats; returns the sum of q.
  static std::int32_t quantize(const float* x, float factor, std::int8_t* q) {
    std::int32_t sum = 0;
    for (int i = 0; i < 16; i++) {
      float shifted = x[i] * factor + 12582912.0f;  // 1.5 * 2^23: the integer is left in the low bits
      std::int32_t bits;
      std::memcpy(&bits, &shifted, 4);
      q[i] = static_cast<std::int8_t>(bits & 0xff);
      sum += q[i];
    }
    return sum;
  }

  // The n floats at x (a multiple of 32): lane i sums the squares of x[32 k + i], then of x[32 k + 16 + i].
  static void squares(const float* x, std::int64_t n, float* sums) {
    F a = zero(), b = zero();
    for (std::int64_t i = 0; i < n; i += 32) {
      F u = load(x + i), v = load(x + i + 16);
      a = fma(u, u, a);
      b = fma(v, v, b);
    }
    for (int i = 0; i < 16; i++) sums[i] = a.v[i] + b.v[i];
  }
  // q[i] = 2 floor(x[i] * factor / 2) + 1, from -most to most (odd), for 16 floats; returns the sum of q.
  static std::int32_t quantize_odd(const float* x, float factor, int most, std::int8_t* q) {
    std::int32_t sum = 0;
    float low = -0.5f * static_cast<float>(most + 1), high = 0.5f * static_cast<float>(most - 1);
    for (int i = 0; i < 16; i++) {
      float cell = __builtin_floorf(x[i] * factor * 0.5f);
      cell = cell > low ? cell : low;
      cell = cell < high ? cell : high;
      q[i] = static_cast<std::int8_t>(2 * static_cast<std::int32_t>(cell) + 1);
      sum += q[i];
    }
    return sum;
  }
  // Bit `bit` of each of 32 bytes q[i] + add.
  static std::uint32_t bit_of(const std::int8_t* q, int add, int bit) {
    std::uint32_t word = 0;
    for (int i = 0; i < 32; i++) word |= static_cast<std::uint32_t>((q[i] + add) >> bit & 1) << i;
    return word;
  }

  // Eight steps of codes (16 rows x 4 columns each) from kBits planes of 64 bytes, `stride` apart, most significant
  // first; see bit_planes/planes.h. Codes are shifted left by kShift.
  template <int kBits, int kShift>
  static void expand(const std::uint8_t* planes, std::int64_t stride, B* codes) {
    for (int row = 0; row < 16; row++)
      for (int c = 0; c < 32; c++) {
        int code = 0;
        for (int p = 0; p < kBits; p++) code = 2 * code + (planes[p * stride + 4 * row + c / 8] >> (c % 8) & 1);
        codes[c / 4].v[4 * row + c % 4] = static_cast<std::uint8_t>(code << kShift);
      }
  }
};

}  // namespace
}  // namespace bitkerf
