#include <immintrin.h>

#include "measure/roof_loops.h"

namespace bitkerf {
namespace {

constexpr int kAccumulators = 16;  // >= latency 4 x 2 per cycle

int int8_loop(std::int64_t iterations) noexcept {
  __m512i sums[kAccumulators];
  for (int i = 0; i < kAccumulators; i++) sums[i] = _mm512_set1_epi32(i);
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(2);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(a), "+v"(b));  // neither operand may be hoisted into a constant result
#pragma GCC unroll 16
    for (int i = 0; i < kAccumulators; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  for (int i = 1; i < kAccumulators; i++) sums[0] = _mm512_xor_si512(sums[0], sums[i]);
  return static_cast<int>(sums[0][0]);
}

int float_loop(std::int64_t iterations) noexcept {
  __m512 sums[kAccumulators];
  for (int i = 0; i < kAccumulators; i++) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
    for (int i = 0; i < kAccumulators; i++) sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
  }
  for (int i = 1; i < kAccumulators; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return static_cast<int>(sums[0][0]);
}

int read_loop(const std::byte* data, std::int64_t bytes) noexcept {
  __m512i sums[8] = {};
  for (std::int64_t i = 0; i < bytes; i += 512) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) sums[j] = _mm512_xor_si512(sums[j], _mm512_load_si512(data + i + 64 * j));
  }
  for (int j = 1; j < 8; j++) sums[0] = _mm512_xor_si512(sums[0], sums[j]);
  return static_cast<int>(sums[0][0]);
}

}  // namespace

const RoofLoops& roof_loops_avx512() {
  static constexpr RoofLoops loops = {Isa::avx512, 16 * 64 * 2, int8_loop, 16 * 16 * 2, float_loop, read_loop};
  return loops;
}

}  // namespace bitkerf
