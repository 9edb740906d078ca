#include <immintrin.h>

#include "measure/roof_loops.h"
#include "measure/stream.inl"

namespace bitkerf {
namespace {

constexpr int kAccumulators = 12;  // of 16 registers; two hold the operands, one the ones
#define BITKERF_EACH _Pragma("GCC unroll 12") for (int i = 0; i < kAccumulators; i++)

int last_of(__m256i (&sums)[kAccumulators]) {
  for (int i = 1; i < kAccumulators; i++) sums[0] = _mm256_xor_si256(sums[0], sums[i]);
  return _mm256_extract_epi32(sums[0], 0) + _mm256_extract_epi32(sums[0], 7);
}
int last_of(__m256 (&sums)[kAccumulators]) {
  for (int i = 1; i < kAccumulators; i++) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return static_cast<int>(_mm256_cvtss_f32(sums[0]));
}

// AVX2 has no 8-bit dot product: VPMADDUBSW, VPMADDWD by ones, VPADDD.
int int8_loop(std::int64_t iterations) noexcept {
  __m256i sums[kAccumulators];
  BITKERF_EACH sums[i] = _mm256_set1_epi32(i);
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
  for (std::int64_t n = 0; n < iterations; n++) {
    BITKERF_EACH {
      __asm__ volatile("" : "+x"(a));  // each product is computed anew
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  return last_of(sums);
}

int float_loop(std::int64_t iterations) noexcept {
  __m256 sums[kAccumulators];
  BITKERF_EACH sums[i] = _mm256_set1_ps(static_cast<float>(i));
  __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
    BITKERF_EACH sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
  }
  return last_of(sums);
}

int shuffle_loop(std::int64_t iterations) noexcept {
  __m256i index[kAccumulators];
  BITKERF_EACH index[i] = _mm256_set1_epi8(static_cast<char>(i));
  __m256i table = _mm256_set1_epi8(5);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+x"(table));
    BITKERF_EACH index[i] = _mm256_shuffle_epi8(table, index[i]);
  }
  return last_of(index);
}

// AVX2 counts bits by looking both nibbles of a byte up; the bytes are summed after 8 counts at most (VPSADBW).
int popcount_loop(std::int64_t iterations) noexcept {
  constexpr int kCounts = 8;
  __m256i sum = _mm256_setzero_si256(), low = _mm256_set1_epi8(15);
  __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  __m256i a = _mm256_set1_epi8(0x35), b = _mm256_set1_epi8(0x5a);
  for (std::int64_t n = 0; n < iterations; n++) {
    __m256i bytes = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < kCounts; i++) {
      __asm__ volatile("" : "+x"(a));
      __m256i bits = _mm256_and_si256(a, b);
      bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(table, _mm256_and_si256(bits, low)));
      bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(bits, 4), low)));
    }
    sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
  }
  return _mm256_extract_epi32(sum, 0);
}

constexpr int kBlock = 16;
int expand_one_loop(std::int64_t iterations) noexcept {
  alignas(32) std::uint8_t in[4 * kBlock] = {}, out[32 * kBlock];
  const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull)), one = _mm256_set1_epi8(1);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : : "r"(in), "r"(out) : "memory");
#pragma GCC unroll 16
    for (int i = 0; i < kBlock; i++) {
      int mask;
      __builtin_memcpy(&mask, in + 4 * i, 4);
      __m256i bytes = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(mask), spread), bit);
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + 32 * i), _mm256_min_epu8(bytes, one));
    }
  }
  __asm__ volatile("" : : "r"(out) : "memory");
  return out[0];
}
int expand_four_loop(std::int64_t iterations) noexcept {
  alignas(32) std::uint8_t in[16 * kBlock] = {}, out[32 * kBlock];
  __m256i low = _mm256_set1_epi8(15);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : : "r"(in), "r"(out) : "memory");
#pragma GCC unroll 8
    for (int i = 0; i < kBlock / 2; i++) {
      __m256i pairs = _mm256_load_si256(reinterpret_cast<const __m256i*>(in + 32 * i));
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + 64 * i), _mm256_and_si256(pairs, low));
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + 64 * i + 32), _mm256_and_si256(_mm256_srli_epi16(pairs, 4), low));
    }
  }
  __asm__ volatile("" : : "r"(out) : "memory");
  return out[0];
}

int clock_under_load_loop(std::int64_t iterations) noexcept {
  __m256 sums[kAccumulators];
  BITKERF_EACH sums[i] = _mm256_set1_ps(static_cast<float>(i));
  __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  std::int64_t x = 1, y = iterations;
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
    BITKERF_SIX_ADDS(x, y);
    BITKERF_EACH sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
    BITKERF_SIX_ADDS(x, y);
    BITKERF_SIX_ADDS(x, y);
  }
  return last_of(sums) + static_cast<int>(x);
}

int read_loop(const std::byte* data, std::int64_t bytes, std::int64_t passes) noexcept {
  __m256i sums[8] = {};
  for (std::int64_t pass = 0; pass < passes; pass++) {
    __asm__ volatile("" : : "r"(data) : "memory");
    for (std::int64_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 8
      for (int j = 0; j < 8; j++)
        sums[j] = _mm256_xor_si256(sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 32 * j)));
    }
  }
  for (int j = 1; j < 8; j++) sums[0] = _mm256_xor_si256(sums[0], sums[j]);
  return _mm256_extract_epi32(sums[0], 0) + _mm256_extract_epi32(sums[0], 5);
}

constexpr RateLoop kRates[] = {
    {"int8_dot", "op", "", 12 * 32 * 2, int8_loop},
    {"f32_fma", "op", "", 12 * 8 * 2, float_loop},
    {"byte_shuffle", "B", "", 12 * 32, shuffle_loop},
    {"binary_dot", "op", "", 8 * 256 * 2, popcount_loop},
    {"expand_1bit", "w", "", 32 * kBlock, expand_one_loop},
    {"expand_4bit", "w", "", 32 * kBlock, expand_four_loop},
};

}  // namespace

const RoofLoops& roof_loops_avx2() {
  static constexpr RoofLoops loops = {Isa::avx2, kRates, sizeof kRates / sizeof *kRates, kClockCycles, clock_loop,
                                      clock_under_load_loop, read_loop, kStreams};
  return loops;
}

}  // namespace bitkerf
