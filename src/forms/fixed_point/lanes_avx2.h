#include <immintrin.h>

#include <cstdint>

namespace bitkerf {
namespace {

struct WordLanes {
  // 16 registers: 2 tokens x 4 registers of 8 rows = 8 sums, 4 for codes, 2 for products and activations.
  static constexpr int kTokens = 2;
  struct I { __m256i a, b; };
  static I zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static __m256i load256(const std::int16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static I load(const std::int16_t* p) { return {load256(p), load256(p + 16)}; }
  static I pair(const std::int16_t* p) {
    __m256i v = _mm256_set1_epi32(*reinterpret_cast<const std::int32_t*>(p));
    return {v, v};
  }
  static I dot(I sum, I codes, I x) {
    return {_mm256_add_epi32(sum.a, _mm256_madd_epi16(codes.a, x.a)), _mm256_add_epi32(sum.b, _mm256_madd_epi16(codes.b, x.b))};
  }
  static void empty(__m128i sum, double* total) { _mm256_store_pd(total, _mm256_add_pd(_mm256_load_pd(total), _mm256_cvtepi32_pd(sum))); }
  static void empty(I sum, double* total) {
    empty(_mm256_castsi256_si128(sum.a), total);
    empty(_mm256_extracti128_si256(sum.a, 1), total + 4);
    empty(_mm256_castsi256_si128(sum.b), total + 8);
    empty(_mm256_extracti128_si256(sum.b, 1), total + 12);
  }
  static void finish(const double* total, const double* scales, double scale, float* y) {
    for (int i = 0; i < 16; i += 4) {
      __m256d d = _mm256_mul_pd(_mm256_loadu_pd(scales + i), _mm256_set1_pd(scale));
      _mm_storeu_ps(y + i, _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_load_pd(total + i), d)));
    }
  }
};

}  // namespace
}  // namespace bitkerf
