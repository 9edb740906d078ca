#include <immintrin.h>

#include <cstdint>

#include "forms/tile_set.h"

namespace bitkerf {
namespace {

struct Lanes {
  using F = __m512;
  using I = __m512i;
  using B = __m512i;
  // 32 registers: 6 tokens x 2 halves x (int32 sum + float sum) = 24, 2 for codes, the rest for scales.
  static constexpr int kUnroll = 8;  // of loops over steps, tokens and halves
  static constexpr bool kOneDot = true;  // dot() is the same whatever the width of the codes
  static constexpr int kTokens = 6;

  static const TileSet& tiles(TileKind kind) { return int_tiles_avx512(kind); }

  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F zero() { return _mm512_setzero_ps(); }
  static F all(float v) { return _mm512_set1_ps(v); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F to_float(I v) { return _mm512_cvtepi32_ps(v); }
  static F from_half(const std::uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F bits_to_float(I v) { return _mm512_castsi512_ps(v); }

  static I all_int(std::int32_t v) { return _mm512_set1_epi32(v); }
  static I from_u8(const std::uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static I from_i8(const std::uint8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static I from_u16(const std::uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  // Sixteen words as bits, and the number of ones in each: of AVX-512, 3 instructions for 512 pairs of bits (AND, VPOPCNTD,
  // VPADDD), two of which run on four pipes.
  static constexpr bool kByteCounts = false;  // add_ones() is exact for any number of words
  static constexpr int kCountTokens = 8;      // 16 sums, 2 words of weights, 1 of activations, 2 counts: 21 of 32 registers
  static I words(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
  static I both(I a, I b) { return _mm512_and_si512(a, b); }
  static I differ(I a, I b) { return _mm512_xor_si512(a, b); }
  static I add_ones(I sum, I bits) { return _mm512_add_epi32(sum, _mm512_popcnt_epi32(bits)); }
  static I subtract_ones(I sum, I bits) { return _mm512_sub_epi32(sum, _mm512_popcnt_epi32(bits)); }
  static I sum_of_bytes(I sum) { return sum; }  // of no use here: sums are 32-bit already
  static I minus(I a, I b) { return _mm512_sub_epi32(a, b); }
  static I band(I a, int mask) { return _mm512_and_si512(a, _mm512_set1_epi32(mask)); }
  static I bor(I a, I b) { return _mm512_or_si512(a, b); }
  static I add(I a, I b) { return _mm512_add_epi32(a, b); }
  static I sub(I a, int b) { return _mm512_sub_epi32(a, _mm512_set1_epi32(b)); }
  static I negate(I a) { return _mm512_sub_epi32(_mm512_setzero_si512(), a); }
  static I shr(I a, int n) { return _mm512_srli_epi32(a, static_cast<unsigned>(n)); }
  static I shl(I a, int n) { return _mm512_slli_epi32(a, static_cast<unsigned>(n)); }

  static B bytes(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
  static void store_bytes(std::uint8_t* p, B v) { _mm512_storeu_si512(p, v); }
  static B bytes_and(B a, int mask) { return _mm512_and_si512(a, _mm512_set1_epi8(static_cast<char>(mask))); }
  static B bytes_or(B a, B b) { return _mm512_or_si512(a, b); }
  // Shifts of 16-bit units: the caller masks what crosses a byte.
  static B bytes_shr(B a, int n) { return _mm512_srli_epi16(a, static_cast<unsigned>(n)); }
  static B bytes_shl(B a, int n) { return _mm512_slli_epi16(a, static_cast<unsigned>(n)); }
  // Adds `bit` to the bytes whose bit in the 64-bit mask at p is set (bytes have that bit clear).
  static B bytes_set(B a, const std::uint8_t* p, int bit) {
    return _mm512_mask_add_epi8(a, _load_mask64(reinterpret_cast<__mmask64*>(const_cast<std::uint8_t*>(p))), a,
                                _mm512_set1_epi8(static_cast<char>(bit)));
  }
  static B lookup(B index, const std::uint8_t* table16) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table16))), index);
  }
  // sum + codes . x over the four columns of each row; codes unsigned, x four signed bytes. kBits: of the codes.
  template <int kBits>
  static I dot(I sum, B codes, const std::int8_t* x) {
    return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(*reinterpret_cast<const std::int32_t*>(x)));
  }

  // q[i] = nearest integer, ties to even, of x[i] * factor for 16 floats; returns the sum of q.
  static std::int32_t quantize(const float* x, float factor, std::int8_t* q) {
    __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(load(x), _mm512_set1_ps(factor)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(v));
    return _mm512_reduce_add_epi32(v);
  }

  // The n floats at x (a multiple of 32): lane i sums the squares of x[32 k + i], then of x[32 k + 16 + i].
  static void squares(const float* x, std::int64_t n, float* sums) {
    __m512 a = _mm512_setzero_ps(), b = _mm512_setzero_ps();
    for (std::int64_t i = 0; i < n; i += 32) {
      __m512 u = load(x + i), v = load(x + i + 16);
      a = _mm512_fmadd_ps(u, u, a);
      b = _mm512_fmadd_ps(v, v, b);
    }
    store(sums, _mm512_add_ps(a, b));
  }
  // q[i] = 2 floor(x[i] * factor / 2) + 1, from -most to most (odd), for 16 floats; returns the sum of q.
  static std::int32_t quantize_odd(const float* x, float factor, int most, std::int8_t* q) {
    __m512 cell = _mm512_roundscale_ps(_mm512_mul_ps(_mm512_mul_ps(load(x), all(factor)), all(0.5f)), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    cell = _mm512_min_ps(_mm512_max_ps(cell, all(-0.5f * static_cast<float>(most + 1))), all(0.5f * static_cast<float>(most - 1)));
    __m512i code = _mm512_cvtps_epi32(_mm512_fmadd_ps(cell, all(2.0f), all(1.0f)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(code));
    return _mm512_reduce_add_epi32(code);
  }
  // Bit `bit` of each of 32 bytes q[i] + add.
  static std::uint32_t bit_of(const std::int8_t* q, int add, int bit) {
    __m256i v = _mm256_add_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)), _mm256_set1_epi8(static_cast<char>(add)));
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_sll_epi16(v, _mm_cvtsi32_si128(7 - bit))));
  }

  // Eight steps of codes (16 rows x 4 columns each) from kBits planes of 64 bytes, `stride` apart, most significant
  // first; see bit_planes/planes.h. Codes are shifted left by kShift.
  // For 8 rows and 8 columns, VPERMI2B gathers a byte of each plane into the row's 64-bit lane, two planes at a time,
  // and GF2P8AFFINEQB with the lane as its matrix transposes the 8x8 bits: bit j of lane byte 7 - i becomes bit i of
  // byte j. VPERMI2D then splits the lanes of both row halves into the steps of four columns.
  template <int kBits, int kShift>
  static void expand(const std::uint8_t* planes, std::int64_t stride, B* codes) {
    expand_some<kBits, kShift, 4>(planes, stride, 0, codes);
  }
  // Steps 4 * half to 4 * half + 3 of the eight.
  template <int kBits>
  [[gnu::always_inline]] static void expand_half(const std::uint8_t* planes, std::int64_t stride, int half, B* codes) {
    expand_some<kBits, 0, 2>(planes, stride, 2 * half, codes);
  }
  // Two steps for each of kCount bytes from `first` on.
  template <int kBits, int kShift, int kCount>
  [[gnu::always_inline]] static void expand_some(const std::uint8_t* planes, std::int64_t stride, int first, B* codes) {
    constexpr int kFirst = 8 - kBits - kShift;  // lane byte of plane 0
    static_assert(kFirst >= 0);
    // Byte position in a plane of row 8h + lane, byte b: 4 (8h + lane) + b. Odd lane bytes of a pair come from the
    // second source (index + 64) when kFirst is even, and the other way round.
    const __m512i lane = _mm512_set_epi64(28, 24, 20, 16, 12, 8, 4, 0);
    const __m512i rows = _mm512_shuffle_epi8(lane, _mm512_broadcast_i32x4(_mm_set_epi64x(0x0808080808080808, 0)));
    const __m512i base = _mm512_add_epi8(rows, _mm512_set1_epi16(kFirst % 2 == 0 ? 0x4000 : 0x0040));
    const __m512i unit = _mm512_set1_epi64(static_cast<long long>(0x8040201008040201u));
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    __m512i p[kBits + 1];
#pragma GCC unroll 8
    for (int i = 0; i < kBits; i++) p[i] = _mm512_loadu_si512(planes + i * stride);
    p[kBits] = p[kBits - 1];
#pragma GCC unroll 4
    for (int b = 0; b < kCount; b++) {
      __m512i half[2];
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) {
        __m512i index = _mm512_add_epi8(base, _mm512_set1_epi8(static_cast<char>(32 * h + first + b)));
        __m512i matrix = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (int i = 0; i < kBits; i += 2) {
          int at = kFirst + i;
          unsigned long long bytes = i + 1 < kBits ? 3ull << at : 1ull << at;
          __mmask64 mask = (bytes & 0xff) * 0x0101010101010101ull;
          __m512i pair = _mm512_maskz_permutex2var_epi8(mask, p[i], index, p[i + 1]);
          matrix = i == 0 ? pair : _mm512_or_si512(matrix, pair);
        }
        half[h] = _mm512_gf2p8affine_epi64_epi8(unit, matrix, 0);
      }
      codes[2 * b] = _mm512_permutex2var_epi32(half[0], even, half[1]);
      codes[2 * b + 1] = _mm512_permutex2var_epi32(half[0], odd, half[1]);
    }
  }
};

}  // namespace
}  // namespace bitkerf
