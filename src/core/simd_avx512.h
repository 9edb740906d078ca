// The lanes of core/simd.h on AVX-512 (F, BW, VL, DQ).
#pragma once

#include <immintrin.h>

#define BITKERF_INLINE [[maybe_unused]] inline __attribute__((always_inline))

namespace bitkerf {
namespace {

struct Vec { __m512 v; };

// 6 x 4 accumulators, 4 operands and a broadcast take 29 of 32 registers, and 24 chains cover the 4 cycles of two FMAs.
constexpr int kTileRows = 6, kTileVecs = 4;

BITKERF_INLINE __mmask16 mask_up_to(std::int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1 << count) - 1);
}

BITKERF_INLINE Vec splat(float x) { return {_mm512_set1_ps(x)}; }
BITKERF_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
BITKERF_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
// p on a 64-byte boundary; seen by other threads after finish_stores().
BITKERF_INLINE void store_past_cache(float* p, Vec a) { _mm512_stream_ps(p, a.v); }
BITKERF_INLINE void finish_stores() { _mm_sfence(); }
BITKERF_INLINE Vec load_part(const float* p, std::int64_t count) { return {_mm512_maskz_loadu_ps(mask_up_to(count), p)}; }
BITKERF_INLINE void store_part(float* p, Vec a, std::int64_t count) { _mm512_mask_storeu_ps(p, mask_up_to(count), a.v); }
BITKERF_INLINE Vec load(const std::uint16_t* p) {
  return {_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
BITKERF_INLINE void store(std::uint16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtps_ph(0xffff, a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

BITKERF_INLINE Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
BITKERF_INLINE Vec sub(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
BITKERF_INLINE Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
BITKERF_INLINE Vec div(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
BITKERF_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
BITKERF_INLINE Vec min(Vec a, Vec b) { return {_mm512_maskz_min_ps(0xffff, a.v, b.v)}; }
BITKERF_INLINE Vec max(Vec a, Vec b) { return {_mm512_maskz_max_ps(0xffff, a.v, b.v)}; }
template <int kHalf>
BITKERF_INLINE Vec swap_lanes(Vec a) {
  if constexpr (kHalf == 1) return {_mm512_maskz_permute_ps(0xffff, a.v, 0xb1)};
  else if constexpr (kHalf == 2) return {_mm512_maskz_permute_ps(0xffff, a.v, 0x4e)};
  else if constexpr (kHalf == 4) return {_mm512_maskz_shuffle_f32x4(0xffff, a.v, a.v, 0xb1)};
  else return {_mm512_maskz_shuffle_f32x4(0xffff, a.v, a.v, 0x4e)};
}
BITKERF_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
BITKERF_INLINE Vec select_range(std::int64_t first, std::int64_t last, Vec a, Vec b) {
  __mmask16 mask = static_cast<__mmask16>(mask_up_to(last) & ~mask_up_to(first));
  return {_mm512_mask_blend_ps(mask, b.v, a.v)};
}
BITKERF_INLINE Vec round_even(Vec a) {
  return {_mm512_maskz_roundscale_ps(0xffff, a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
BITKERF_INLINE Vec scale_by_power(Vec a, Vec n) { return {_mm512_maskz_scalef_ps(0xffff, a.v, n.v)}; }

BITKERF_INLINE Vec fraction(Vec a) { return {_mm512_maskz_reduce_ps(0xffff, a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
BITKERF_INLINE Vec scale_by_floor(Vec a, Vec n) { return {_mm512_maskz_scalef_ps(0xffff, a.v, n.v)}; }

// GCC 12 keeps sums that change between __m512i and its own type of 16 ints in memory: so they are of that type.
struct Ints { __v16si v; };
BITKERF_INLINE Ints ints(__m512i a) { return {(__v16si)a}; }
BITKERF_INLINE __m512i raw(Ints a) { return (__m512i)a.v; }

BITKERF_INLINE Ints no_ints() { return Ints{}; }
BITKERF_INLINE Ints load_ints(const std::int16_t* p) { return ints(_mm512_loadu_si512(p)); }
BITKERF_INLINE void store_ints(std::int16_t* p, Ints a) { _mm512_storeu_si512(p, raw(a)); }
BITKERF_INLINE Ints splat_pair(const std::int16_t* p) {
  std::int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return ints(_mm512_set1_epi32(pair));
}
BITKERF_INLINE Ints dot_pairs(Ints a, Ints b, Ints c) { return ints(_mm512_dpwssd_epi32(raw(c), raw(a), raw(b))); }
BITKERF_INLINE Vec to_float(Ints a) { return {_mm512_maskz_cvtepi32_ps(0xffff, raw(a))}; }
BITKERF_INLINE Ints to_ints(Vec a) { return ints(_mm512_maskz_cvtps_epi32(0xffff, a.v)); }
BITKERF_INLINE Ints pack_pairs(Ints a, Ints b) {
  return ints(_mm512_mask_blend_epi16(0xaaaaaaaa, raw(a), _mm512_maskz_slli_epi32(0xffff, raw(b), 16)));
}
BITKERF_INLINE Ints pack_quarters(Ints a, Ints b) { return ints(_mm512_packs_epi32(raw(a), raw(b))); }
BITKERF_INLINE void store_short(std::int16_t* p, Ints a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtepi32_epi16(0xffff, raw(a)));
}

// GCC 12 warns about its own undefined vectors in the casts and in unmasked forms: hence the maskz forms here.
BITKERF_INLINE __m256 lower_half(Vec a) {
  return _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xff, _mm512_castps_pd(a.v), 0));
}
BITKERF_INLINE __m256 upper_half(Vec a) {
  return _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xff, _mm512_castps_pd(a.v), 1));
}
BITKERF_INLINE float sum(Vec a) {
  __m256 b = _mm256_add_ps(lower_half(a), upper_half(a));
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
BITKERF_INLINE float largest(Vec a) {
  __m256 b = _mm256_max_ps(lower_half(a), upper_half(a));
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
BITKERF_INLINE float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

BITKERF_INLINE void transpose(Vec (&rows)[16]) {
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_maskz_unpacklo_ps(0xffff, rows[i].v, rows[i + 1].v);
    a[i + 1] = _mm512_maskz_unpackhi_ps(0xffff, rows[i].v, rows[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_maskz_shuffle_ps(0xffff, a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_maskz_shuffle_ps(0xffff, a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_maskz_shuffle_ps(0xffff, a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_maskz_shuffle_ps(0xffff, a[i + 1], a[i + 3], 0xee);
  }
  // b[4 g + j] holds, in its quarter q, column 4 q + j of rows 4 g .. 4 g + 3.
  for (int j = 0; j < 4; j++) {
    __m512 x = _mm512_maskz_shuffle_f32x4(0xffff, b[j], b[4 + j], 0x88);
    __m512 y = _mm512_maskz_shuffle_f32x4(0xffff, b[8 + j], b[12 + j], 0x88);
    __m512 z = _mm512_maskz_shuffle_f32x4(0xffff, b[j], b[4 + j], 0xdd);
    __m512 w = _mm512_maskz_shuffle_f32x4(0xffff, b[8 + j], b[12 + j], 0xdd);
    rows[j].v = _mm512_maskz_shuffle_f32x4(0xffff, x, y, 0x88);
    rows[8 + j].v = _mm512_maskz_shuffle_f32x4(0xffff, x, y, 0xdd);
    rows[4 + j].v = _mm512_maskz_shuffle_f32x4(0xffff, z, w, 0x88);
    rows[12 + j].v = _mm512_maskz_shuffle_f32x4(0xffff, z, w, 0xdd);
  }
}
BITKERF_INLINE void deinterleave(Vec& a, Vec& b) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  __m512 x = _mm512_permutex2var_ps(a.v, even, b.v), y = _mm512_permutex2var_ps(a.v, odd, b.v);
  a.v = x, b.v = y;
}
BITKERF_INLINE void interleave(Vec& x, Vec& y) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  __m512 a = _mm512_permutex2var_ps(x.v, low, y.v), b = _mm512_permutex2var_ps(x.v, high, y.v);
  x.v = a, y.v = b;
}

}  // namespace
}  // namespace bitkerf
