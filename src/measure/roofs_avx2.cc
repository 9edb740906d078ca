#include <immintrin.h>

#include "measure/roof_loops.h"

namespace bitkerf {
namespace {

constexpr int kAccumulators = 12;  // of 16 registers; two hold the operands, one the ones

// AVX2 has no 8-bit dot product: VPMADDUBSW, VPMADDWD by ones, VPADDD.
int int8_loop(std::int64_t iterations) noexcept {
  __m256i sums[kAccumulators];
  for (int i = 0; i < kAccumulators; i++) sums[i] = _mm256_set1_epi32(i);
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
  for (std::int64_t n = 0; n < iterations; n++) {
#pragma GCC unroll 12
    for (int i = 0; i < kAccumulators; i++) {
      __asm__ volatile("" : "+x"(a));  // each product is computed anew
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  for (int i = 1; i < kAccumulators; i++) sums[0] = _mm256_xor_si256(sums[0], sums[i]);
  return _mm256_extract_epi32(sums[0], 0) + _mm256_extract_epi32(sums[0], 7);
}

int float_loop(std::int64_t iterations) noexcept {
  __m256 sums[kAccumulators];
  for (int i = 0; i < kAccumulators; i++) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
    for (int i = 0; i < kAccumulators; i++) sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
  }
  for (int i = 1; i < kAccumulators; i++) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return static_cast<int>(_mm256_cvtss_f32(sums[0]));
}

int read_loop(const std::byte* data, std::int64_t bytes) noexcept {
  __m256i sums[8] = {};
  for (std::int64_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
      sums[j] = _mm256_xor_si256(sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 32 * j)));
  }
  for (int j = 1; j < 8; j++) sums[0] = _mm256_xor_si256(sums[0], sums[j]);
  return _mm256_extract_epi32(sums[0], 0) + _mm256_extract_epi32(sums[0], 5);
}

}  // namespace

const RoofLoops& roof_loops_avx2() {
  static constexpr RoofLoops loops = {Isa::avx2, 12 * 32 * 2, int8_loop, 12 * 8 * 2, float_loop, read_loop};
  return loops;
}

}  // namespace bitkerf
