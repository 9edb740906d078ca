// The lanes of core/simd.h on AVX2, FMA and F16C, as two registers.
#pragma once

#include <immintrin.h>

#define BITKERF_INLINE [[maybe_unused]] inline __attribute__((always_inline))

namespace bitkerf {
namespace {

struct Vec { __m256 low, high; };

// 6 x 1 accumulators of two registers, two operands and a broadcast: 15 of 16 registers.
constexpr int kTileRows = 6, kTileVecs = 1;

BITKERF_INLINE __m256i mask_range(std::int64_t first, std::int64_t last, int offset) {
  first = first < 0 ? 0 : first > 16 ? 16 : first;
  last = last < 0 ? 0 : last > 16 ? 16 : last;
  const __m256i index = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(offset));
  return _mm256_and_si256(_mm256_cmpgt_epi32(index, _mm256_set1_epi32(static_cast<int>(first) - 1)),
                          _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(last)), index));
}

BITKERF_INLINE Vec splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
BITKERF_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
BITKERF_INLINE void store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
// p on a 64-byte boundary; seen by other threads after finish_stores().
BITKERF_INLINE void store_past_cache(float* p, Vec a) {
  _mm256_stream_ps(p, a.low);
  _mm256_stream_ps(p + 8, a.high);
}
BITKERF_INLINE void finish_stores() { _mm_sfence(); }
BITKERF_INLINE Vec load_part(const float* p, std::int64_t count) {
  return {_mm256_maskload_ps(p, mask_range(0, count, 0)), _mm256_maskload_ps(p + 8, mask_range(0, count, 8))};
}
BITKERF_INLINE void store_part(float* p, Vec a, std::int64_t count) {
  _mm256_maskstore_ps(p, mask_range(0, count, 0), a.low);
  _mm256_maskstore_ps(p + 8, mask_range(0, count, 8), a.high);
}
BITKERF_INLINE Vec load(const std::uint16_t* p) {
  const __m128i* q = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
BITKERF_INLINE void store(std::uint16_t* p, Vec a) {
  __m128i* q = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(q, _mm256_cvtps_ph(a.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128(q + 1, _mm256_cvtps_ph(a.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

BITKERF_INLINE Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
BITKERF_INLINE Vec sub(Vec a, Vec b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
BITKERF_INLINE Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
BITKERF_INLINE Vec div(Vec a, Vec b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
BITKERF_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
BITKERF_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
BITKERF_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
template <int kHalf>
BITKERF_INLINE __m256 swap_in_half(__m256 a) {
  if constexpr (kHalf == 1) return _mm256_permute_ps(a, 0xb1);
  else if constexpr (kHalf == 2) return _mm256_permute_ps(a, 0x4e);
  else return _mm256_permute2f128_ps(a, a, 1);
}
template <int kHalf>
BITKERF_INLINE Vec swap_lanes(Vec a) {
  if constexpr (kHalf == 8) return {a.high, a.low};
  else return {swap_in_half<kHalf>(a.low), swap_in_half<kHalf>(a.high)};
}
BITKERF_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return {_mm256_blendv_ps(y.low, x.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.high, x.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
}
BITKERF_INLINE Vec select_range(std::int64_t first, std::int64_t last, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(mask_range(first, last, 0))),
          _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(mask_range(first, last, 8)))};
}
BITKERF_INLINE Vec round_even(Vec a) {
  return {_mm256_round_ps(a.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(a.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
BITKERF_INLINE __m256 scale_half(__m256 a, __m256 n) {
  __m256i power = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(power, 1), bias = _mm256_set1_epi32(127);
  __m256i rest = _mm256_sub_epi32(power, half);
  __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(a, first), second);
}
BITKERF_INLINE Vec scale_by_power(Vec a, Vec n) { return {scale_half(a.low, n.low), scale_half(a.high, n.high)}; }

BITKERF_INLINE Vec fraction(Vec a) {
  return {_mm256_sub_ps(a.low, _mm256_floor_ps(a.low)), _mm256_sub_ps(a.high, _mm256_floor_ps(a.high))};
}
BITKERF_INLINE __m256 scale_half_by_floor(__m256 a, __m256 n) {
  __m256i power = _mm256_cvtps_epi32(_mm256_floor_ps(n));
  return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(power, _mm256_set1_epi32(127)), 23)));
}
BITKERF_INLINE Vec scale_by_floor(Vec a, Vec n) {
  return {scale_half_by_floor(a.low, n.low), scale_half_by_floor(a.high, n.high)};
}

struct Ints { __m256i low, high; };

BITKERF_INLINE Ints no_ints() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
BITKERF_INLINE Ints load_ints(const std::int16_t* p) {
  const __m256i* q = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
BITKERF_INLINE void store_ints(std::int16_t* p, Ints a) {
  __m256i* q = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(q, a.low);
  _mm256_storeu_si256(q + 1, a.high);
}
BITKERF_INLINE Ints splat_pair(const std::int16_t* p) {
  std::int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return {_mm256_set1_epi32(pair), _mm256_set1_epi32(pair)};
}
BITKERF_INLINE Ints dot_pairs(Ints a, Ints b, Ints c) {
  return {_mm256_add_epi32(c.low, _mm256_madd_epi16(a.low, b.low)),
          _mm256_add_epi32(c.high, _mm256_madd_epi16(a.high, b.high))};
}
BITKERF_INLINE Vec to_float(Ints a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
BITKERF_INLINE Ints to_ints(Vec a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }
BITKERF_INLINE Ints pack_pairs(Ints a, Ints b) {
  return {_mm256_blend_epi16(a.low, _mm256_slli_epi32(b.low, 16), 0xaa),
          _mm256_blend_epi16(a.high, _mm256_slli_epi32(b.high, 16), 0xaa)};
}
BITKERF_INLINE Ints pack_quarters(Ints a, Ints b) {
  return {_mm256_packs_epi32(a.low, b.low), _mm256_packs_epi32(a.high, b.high)};
}
BITKERF_INLINE void store_short(std::int16_t* p, Ints a) {
  __m256i packed = _mm256_packs_epi32(a.low, a.high);  // quarters 0 2 1 3
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}

BITKERF_INLINE float sum(Vec a) {
  __m256 b = _mm256_add_ps(a.low, a.high);
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
BITKERF_INLINE float largest(Vec a) {
  __m256 b = _mm256_max_ps(a.low, a.high);
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
BITKERF_INLINE float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Eight rows of eight.
BITKERF_INLINE void transpose_eighth(__m256& r0, __m256& r1, __m256& r2, __m256& r3, __m256& r4, __m256& r5, __m256& r6,
                                     __m256& r7) {
  __m256 a0 = _mm256_unpacklo_ps(r0, r1), a1 = _mm256_unpackhi_ps(r0, r1);
  __m256 a2 = _mm256_unpacklo_ps(r2, r3), a3 = _mm256_unpackhi_ps(r2, r3);
  __m256 a4 = _mm256_unpacklo_ps(r4, r5), a5 = _mm256_unpackhi_ps(r4, r5);
  __m256 a6 = _mm256_unpacklo_ps(r6, r7), a7 = _mm256_unpackhi_ps(r6, r7);
  __m256 b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xee);
  __m256 b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xee);
  __m256 b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xee);
  __m256 b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xee);
  r0 = _mm256_permute2f128_ps(b0, b4, 0x20), r4 = _mm256_permute2f128_ps(b0, b4, 0x31);
  r1 = _mm256_permute2f128_ps(b1, b5, 0x20), r5 = _mm256_permute2f128_ps(b1, b5, 0x31);
  r2 = _mm256_permute2f128_ps(b2, b6, 0x20), r6 = _mm256_permute2f128_ps(b2, b6, 0x31);
  r3 = _mm256_permute2f128_ps(b3, b7, 0x20), r7 = _mm256_permute2f128_ps(b3, b7, 0x31);
}
BITKERF_INLINE void transpose(Vec (&r)[16]) {
  transpose_eighth(r[0].low, r[1].low, r[2].low, r[3].low, r[4].low, r[5].low, r[6].low, r[7].low);
  transpose_eighth(r[0].high, r[1].high, r[2].high, r[3].high, r[4].high, r[5].high, r[6].high, r[7].high);
  transpose_eighth(r[8].low, r[9].low, r[10].low, r[11].low, r[12].low, r[13].low, r[14].low, r[15].low);
  transpose_eighth(r[8].high, r[9].high, r[10].high, r[11].high, r[12].high, r[13].high, r[14].high, r[15].high);
  for (int i = 0; i < 8; i++) {
    __m256 t = r[i].high;
    r[i].high = r[8 + i].low;
    r[8 + i].low = t;
  }
}
// Of one pair of registers: x0 y0 x1 y1 ... -> x0 .. x7, y0 .. y7.
BITKERF_INLINE void deinterleave_halves(__m256 a, __m256 b, __m256& x, __m256& y) {
  x = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), 0xd8));
  y = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd)), 0xd8));
}
BITKERF_INLINE void deinterleave(Vec& a, Vec& b) {
  Vec x, y;
  deinterleave_halves(a.low, a.high, x.low, y.low);
  deinterleave_halves(b.low, b.high, x.high, y.high);
  a = x, b = y;
}
BITKERF_INLINE void interleave_halves(__m256 x, __m256 y, __m256& a, __m256& b) {
  __m256 low = _mm256_unpacklo_ps(x, y), high = _mm256_unpackhi_ps(x, y);
  a = _mm256_permute2f128_ps(low, high, 0x20);
  b = _mm256_permute2f128_ps(low, high, 0x31);
}
BITKERF_INLINE void interleave(Vec& x, Vec& y) {
  Vec a, b;
  interleave_halves(x.low, y.low, a.low, a.high);
  interleave_halves(x.high, y.high, b.low, b.high);
  x = a, y = b;
}

}  // namespace
}  // namespace bitkerf
