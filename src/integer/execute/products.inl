// The product of a panel of 32 rows with tokens, written three times; exact sums, so all give the same.
//
// A panel holds code + 128 as unsigned bytes, four columns of a row side by side, so that VPDPBUSD multiplies 16 rows with
// four bytes of a token at once; 128 times the sum of the token's codes is subtracted in the end.
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "integer/execute/kernels.h"

namespace bitkerf {
namespace {

inline std::int32_t sum_of(const std::int8_t* x, std::int64_t n) {
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < n; i++) sum += x[i];
  return sum;
}

inline std::int32_t quad_at(const std::int8_t* x) {
  std::int32_t quad;
  __builtin_memcpy(&quad, x, sizeof quad);
  return quad;
}

#if defined(__AVX512VNNI__)

template <int tokens>
void tile(const std::uint8_t* panel, const std::int8_t* x, std::int64_t x_stride, std::int64_t quads, std::int32_t* out, std::int64_t out_stride) {
  __m512i low[tokens], high[tokens];
  for (int t = 0; t < tokens; t++) low[t] = high[t] = _mm512_set1_epi32(-128 * sum_of(x + t * x_stride, quads * kQuad));
  for (std::int64_t k = 0; k < quads; k++) {
    const __m512i first = _mm512_loadu_si512(panel + k * 128), second = _mm512_loadu_si512(panel + k * 128 + 64);
    for (int t = 0; t < tokens; t++) {
      const __m512i quad = _mm512_set1_epi32(quad_at(x + t * x_stride + k * kQuad));
      low[t] = _mm512_dpbusd_epi32(low[t], first, quad);
      high[t] = _mm512_dpbusd_epi32(high[t], second, quad);
    }
  }
  for (int t = 0; t < tokens; t++) {
    _mm512_storeu_si512(out + t * out_stride, low[t]);
    _mm512_storeu_si512(out + t * out_stride + 16, high[t]);
  }
}

void products(const std::uint8_t* panel, const std::int8_t* x, std::int64_t x_stride, std::int64_t tokens, std::int64_t quads,
              std::int32_t* out, std::int64_t out_stride) noexcept {
  constexpr int kTile = 8;
  constexpr decltype(&tile<1>) kTiles[kTile] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>, tile<7>, tile<8>};
  for (std::int64_t t = 0; t < tokens; t += kTile) {
    std::int64_t count = tokens - t < kTile ? tokens - t : kTile;
    kTiles[count - 1](panel, x + t * x_stride, x_stride, quads, out + t * out_stride, out_stride);
  }
}

#elif defined(__AVX2__)

// 16 rows. A register holds two sums of two columns for each of four rows.
template <int tokens>
void tile(const std::uint8_t* panel, const std::int8_t* x, std::int64_t x_stride, std::int64_t quads, std::int32_t* out, std::int64_t out_stride) {
  __m256i sums[tokens][4];
  for (int t = 0; t < tokens; t++)
    for (int r = 0; r < 4; r++) sums[t][r] = _mm256_setzero_si256();
  for (std::int64_t k = 0; k < quads; k++) {
    __m256i rows[4];
    for (int r = 0; r < 4; r++)
      rows[r] = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + k * 128 + r * 16)));
    for (int t = 0; t < tokens; t++) {
      const __m256i quad = _mm256_cvtepi8_epi16(_mm_set1_epi32(quad_at(x + t * x_stride + k * kQuad)));
      for (int r = 0; r < 4; r++) sums[t][r] = _mm256_add_epi32(sums[t][r], _mm256_madd_epi16(rows[r], quad));
    }
  }
  for (int t = 0; t < tokens; t++) {
    const __m256i offset = _mm256_set1_epi32(-128 * sum_of(x + t * x_stride, quads * kQuad));
    for (int r = 0; r < 4; r += 2) {
      // Rows 0 1 4 5 2 3 6 7: put in order by quarters.
      __m256i sum = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sums[t][r], sums[t][r + 1]), 0xd8);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + t * out_stride + r * 4), _mm256_add_epi32(sum, offset));
    }
  }
}

void products(const std::uint8_t* panel, const std::int8_t* x, std::int64_t x_stride, std::int64_t tokens, std::int64_t quads,
              std::int32_t* out, std::int64_t out_stride) noexcept {
  for (std::int64_t half = 0; half < 2; half++) {
    std::int64_t t = 0;
    for (; t + 2 <= tokens; t += 2) tile<2>(panel + half * 64, x + t * x_stride, x_stride, quads, out + t * out_stride + half * 16, out_stride);
    if (t < tokens) tile<1>(panel + half * 64, x + t * x_stride, x_stride, quads, out + t * out_stride + half * 16, out_stride);
  }
}

#else

void products(const std::uint8_t* panel, const std::int8_t* x, std::int64_t x_stride, std::int64_t tokens, std::int64_t quads,
              std::int32_t* out, std::int64_t out_stride) noexcept {
  for (std::int64_t t = 0; t < tokens; t++) {
    const std::int32_t offset = -128 * sum_of(x + t * x_stride, quads * kQuad);
    std::int32_t sums[kIntegerRows];
    for (std::int32_t& sum : sums) sum = offset;
    for (std::int64_t k = 0; k < quads; k++) {
      const std::uint8_t* codes = panel + k * kIntegerRows * kQuad;
      const std::int8_t* quad = x + t * x_stride + k * kQuad;
      for (std::int64_t r = 0; r < kIntegerRows; r++)
        for (std::int64_t i = 0; i < kQuad; i++) sums[r] += static_cast<std::int32_t>(codes[r * kQuad + i]) * quad[i];
    }
    for (std::int64_t r = 0; r < kIntegerRows; r++) out[t * out_stride + r] = sums[r];
  }
}

#endif

}  // namespace
}  // namespace bitkerf
