#include <immintrin.h>

#include <cstdint>

#include "forms/tile_set.h"

namespace bitkerf {
namespace {

struct Lanes {
  struct F { __m256 a, b; };
  struct I { __m256i a, b; };
  using B = I;
  // 16 registers: 1 token x 2 halves x 2 registers x (int32 sum + float sum) = 8, 4 for codes, 4 for the rest.
  static constexpr int kUnroll = 8;  // of loops over steps, tokens and halves
  static constexpr bool kOneDot = false;  // dot() is the same whatever the width of the codes
  static constexpr int kTokens = 1;

  static __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static __m128i load64(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

  static const TileSet& tiles(TileKind kind) { return int_tiles_avx2(kind); }

  static F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v.a), _mm256_storeu_ps(p + 8, v.b); }
  static F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F all(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
  static F mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
  static F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
  static F to_float(I v) { return {_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)}; }
  static F from_half(const std::uint16_t* p) { return {_mm256_cvtph_ps(load128(p)), _mm256_cvtph_ps(load128(p + 8))}; }
  static F bits_to_float(I v) { return {_mm256_castsi256_ps(v.a), _mm256_castsi256_ps(v.b)}; }

  static I all_int(std::int32_t v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
  static I from_u8(const std::uint8_t* p) { return {_mm256_cvtepu8_epi32(load64(p)), _mm256_cvtepu8_epi32(load64(p + 8))}; }
  static I from_i8(const std::uint8_t* p) { return {_mm256_cvtepi8_epi32(load64(p)), _mm256_cvtepi8_epi32(load64(p + 8))}; }
  static I from_u16(const std::uint16_t* p) {
    return {_mm256_cvtepu16_epi32(load128(p)), _mm256_cvtepu16_epi32(load128(p + 8))};
  }
  // Sixteen words as bits, and the number of ones in each byte, by two lookups of nibbles: a sum holds 31 words
  // (31 x 8 < 256), then sum_of_bytes() makes it 32-bit.
  static constexpr bool kByteCounts = true;
  static constexpr int kCountTokens = 2;  // 2 tokens x 2 halves x 2 registers = 8, the table and mask, 2 of weights
  static I words(const std::uint8_t* p) { return {load256(p), load256(p + 32)}; }
  static I both(I x, I y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
  static I differ(I x, I y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
  static __m256i ones(__m256i v) {
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i nibble = _mm256_set1_epi8(15);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble)),
                           _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
  }
  static I add_ones(I sum, I bits) { return {_mm256_add_epi8(sum.a, ones(bits.a)), _mm256_add_epi8(sum.b, ones(bits.b))}; }
  static I subtract_ones(I sum, I bits) { return {_mm256_sub_epi8(sum.a, ones(bits.a)), _mm256_sub_epi8(sum.b, ones(bits.b))}; }
  static __m256i sum_bytes(__m256i v) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(v, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
  }
  static I sum_of_bytes(I v) { return {sum_bytes(v.a), sum_bytes(v.b)}; }
  static I minus(I x, I y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
  static I band(I v, int mask) {
    __m256i m = _mm256_set1_epi32(mask);
    return {_mm256_and_si256(v.a, m), _mm256_and_si256(v.b, m)};
  }
  static I bor(I x, I y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
  static I add(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
  static I sub(I v, int n) {
    __m256i m = _mm256_set1_epi32(n);
    return {_mm256_sub_epi32(v.a, m), _mm256_sub_epi32(v.b, m)};
  }
  static I negate(I v) {
    __m256i z = _mm256_setzero_si256();
    return {_mm256_sub_epi32(z, v.a), _mm256_sub_epi32(z, v.b)};
  }
  static I shr(I v, int n) { return {_mm256_srli_epi32(v.a, n), _mm256_srli_epi32(v.b, n)}; }
  static I shl(I v, int n) { return {_mm256_slli_epi32(v.a, n), _mm256_slli_epi32(v.b, n)}; }

  static B bytes(const std::uint8_t* p) { return {load256(p), load256(p + 32)}; }
  static void store_bytes(std::uint8_t* p, B v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.a);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), v.b);
  }
  static B bytes_and(B v, int mask) {
    __m256i m = _mm256_set1_epi8(static_cast<char>(mask));
    return {_mm256_and_si256(v.a, m), _mm256_and_si256(v.b, m)};
  }
  static B bytes_or(B x, B y) { return bor(x, y); }
  static B bytes_shr(B v, int n) { return {_mm256_srli_epi16(v.a, n), _mm256_srli_epi16(v.b, n)}; }
  static B bytes_shl(B v, int n) { return {_mm256_slli_epi16(v.a, n), _mm256_slli_epi16(v.b, n)}; }
  static __m256i spread(const std::uint8_t* p, int bit) {  // 32 mask bits to 32 bytes of 0 or `bit`
    std::int32_t mask;
    __builtin_memcpy(&mask, p, 4);
    __m256i byte = _mm256_shuffle_epi8(_mm256_set1_epi32(mask),
                                       _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    __m256i one = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(byte, one), one);
    return _mm256_and_si256(set, _mm256_set1_epi8(static_cast<char>(bit)));
  }
  static B bytes_set(B v, const std::uint8_t* p, int bit) {
    return {_mm256_or_si256(v.a, spread(p, bit)), _mm256_or_si256(v.b, spread(p + 4, bit))};
  }
  static B lookup(B index, const std::uint8_t* table16) {
    __m256i table = _mm256_broadcastsi128_si256(load128(table16));
    return {_mm256_shuffle_epi8(table, index.a), _mm256_shuffle_epi8(table, index.b)};
  }
  static __m256i dot256(__m256i sum, __m256i codes, __m256i x) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1)));
  }
  // VPMADDUBSW saturates its sums of two products at 32767: safe for codes of at most 7 bits (2 * 127 * 127), so
  // wider codes are multiplied as their top bit and the rest.
  template <int kBits>
  static I dot(I sum, B codes, const std::int8_t* x) {
    __m256i v = _mm256_set1_epi32(*reinterpret_cast<const std::int32_t*>(x));
    if constexpr (kBits > 7) {
      B top = bytes_and(codes, 0x80);
      sum = {dot256(sum.a, top.a, v), dot256(sum.b, top.b, v)};
      codes = bytes_and(codes, 0x7f);
    }
    return {dot256(sum.a, codes.a, v), dot256(sum.b, codes.b, v)};
  }

  // q[i] = nearest integer, ties to even, of x[i] * factor for 16 floats; returns the sum of q.
  static std::int32_t quantize(const float* x, float factor, std::int8_t* q) {
    __m256 f = _mm256_set1_ps(factor);
    __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), f));
    __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), f));
    return store_codes(a, b, q);
  }
  // Stores 16 codes as bytes; returns their sum.
  static std::int32_t store_codes(__m256i a, __m256i b, std::int8_t* q) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q),
                     _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    __m256i s = _mm256_add_epi32(a, b);
    __m128i h = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1)));
  }

  // The n floats at x (a multiple of 32): lane i sums the squares of x[32 k + i], then of x[32 k + 16 + i].
  static void squares(const float* x, std::int64_t n, float* sums) {
    F a = zero(), b = zero();
    for (std::int64_t i = 0; i < n; i += 32) {
      F u = load(x + i), v = load(x + i + 16);
      a = fma(u, u, a);
      b = fma(v, v, b);
    }
    store(sums, {_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b)});
  }
  // q[i] = 2 floor(x[i] * factor / 2) + 1, from -most to most (odd), for 16 floats; returns the sum of q.
  static std::int32_t quantize_odd(const float* x, float factor, int most, std::int8_t* q) {
    __m256 low = _mm256_set1_ps(-0.5f * static_cast<float>(most + 1)), high = _mm256_set1_ps(0.5f * static_cast<float>(most - 1));
    __m256i codes[2];
    for (int h = 0; h < 2; h++) {
      __m256 cell = _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * h), _mm256_set1_ps(factor)), _mm256_set1_ps(0.5f));
      cell = _mm256_min_ps(_mm256_max_ps(_mm256_floor_ps(cell), low), high);
      codes[h] = _mm256_cvtps_epi32(_mm256_fmadd_ps(cell, _mm256_set1_ps(2.0f), _mm256_set1_ps(1.0f)));
    }
    return store_codes(codes[0], codes[1], q);
  }
  // Bit `bit` of each of 32 bytes q[i] + add.
  static std::uint32_t bit_of(const std::int8_t* q, int add, int bit) {
    __m256i v = _mm256_add_epi8(load256(q), _mm256_set1_epi8(static_cast<char>(add)));
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_sll_epi16(v, _mm_cvtsi32_si128(7 - bit))));
  }

  // Eight steps of codes (16 rows x 4 columns each) from kBits planes of 64 bytes, `stride` apart, most significant
  // first; see bit_planes/planes.h. Codes are shifted left by kShift. Without GFNI, a bit at a time: bit c of every
  // 32-bit row word moves to the top of a byte by a shift.
  template <int kBits, int kShift>
  static void expand(const std::uint8_t* planes, std::int64_t stride, B* codes) {
    for (int s = 0; s < 8; s++) codes[s] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int p = 0; p < kBits; p++) {
      B plane = bytes(planes + p * stride);
      __m256i bit = _mm256_set1_epi8(static_cast<char>(1 << (kBits - 1 - p + kShift)));
      for (int s = 0; s < 8; s++) {
        // Byte s / 2 of each row four times, then its bits 4 (s % 2) + 0..3.
        __m256i pick = _mm256_add_epi8(_mm256_setr_epi64x(0x0404040400000000, 0x0c0c0c0c08080808, 0x0404040400000000, 0x0c0c0c0c08080808),
                                       _mm256_set1_epi8(static_cast<char>(s / 2)));
        __m256i one = _mm256_set1_epi32(s % 2 ? static_cast<int>(0x80402010u) : 0x08040201);
        __m256i* halves[2] = {&codes[s].a, &codes[s].b};
        __m256i words[2] = {plane.a, plane.b};
        for (int h = 0; h < 2; h++) {
          __m256i spread_bytes = _mm256_shuffle_epi8(words[h], pick);
          __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread_bytes, one), one);
          *halves[h] = _mm256_or_si256(*halves[h], _mm256_and_si256(set, bit));
        }
      }
    }
  }
};

}  // namespace
}  // namespace bitkerf
