#include <immintrin.h>

#include <cstdint>

namespace bitkerf {
namespace {

struct WordLanes {
  // 32 registers: 8 tokens x 2 halves of 16 rows = 16 sums, enough to hide 5 cycles at 2 an instruction; 2 for codes.
  static constexpr int kTokens = 8;
  using I = __m512i;
  static I zero() { return _mm512_setzero_si512(); }
  static I load(const std::int16_t* p) { return _mm512_loadu_si512(p); }
  static I pair(const std::int16_t* p) { return _mm512_set1_epi32(*reinterpret_cast<const std::int32_t*>(p)); }
  static I dot(I sum, I codes, I x) { return _mm512_dpwssd_epi32(sum, codes, x); }
  static void empty(I sum, double* total) {
    __m512d low = _mm512_cvtepi32_pd(_mm512_castsi512_si256(sum)), high = _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(sum, 1));
    _mm512_store_pd(total, _mm512_add_pd(_mm512_load_pd(total), low));
    _mm512_store_pd(total + 8, _mm512_add_pd(_mm512_load_pd(total + 8), high));
  }
  static void finish(const double* total, const double* scales, double scale, float* y) {
    for (int i = 0; i < 16; i += 8) {
      __m512d d = _mm512_mul_pd(_mm512_loadu_pd(scales + i), _mm512_set1_pd(scale));
      _mm256_storeu_ps(y + i, _mm512_cvtpd_ps(_mm512_mul_pd(_mm512_load_pd(total + i), d)));
    }
  }
};

}  // namespace
}  // namespace bitkerf
