#include <immintrin.h>

#include "measure/roof_loops.h"
#include "measure/stream.inl"

namespace bitkerf {
namespace {

constexpr int kAccumulators = 16;  // >= latency 4 x 2 per cycle
#define BITKERF_EACH _Pragma("GCC unroll 16") for (int i = 0; i < kAccumulators; i++)

int last_of(__m512i (&sums)[kAccumulators]) {
  for (int i = 1; i < kAccumulators; i++) sums[0] = _mm512_xor_si512(sums[0], sums[i]);
  return static_cast<int>(sums[0][0]);
}
int last_of(__m512 (&sums)[kAccumulators]) {
  for (int i = 1; i < kAccumulators; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return static_cast<int>(sums[0][0]);
}

int int8_loop(std::int64_t iterations) noexcept {
  __m512i sums[kAccumulators];
  BITKERF_EACH sums[i] = _mm512_set1_epi32(i);
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(2);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(a), "+v"(b));  // neither operand may be hoisted into a constant result
    BITKERF_EACH sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  return last_of(sums);
}

int float_loop(std::int64_t iterations) noexcept {
  __m512 sums[kAccumulators];
  BITKERF_EACH sums[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
    BITKERF_EACH sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
  }
  return last_of(sums);
}

[[gnu::target("avx512bf16")]] int bf16_loop(std::int64_t iterations) noexcept {
  __m512 sums[kAccumulators];
  BITKERF_EACH sums[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512i ones = _mm512_set1_epi16(0x3f80);  // 1.0
  __m512bh a = (__m512bh)ones, b = (__m512bh)ones;
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
    BITKERF_EACH sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
  }
  return last_of(sums);
}

// VPERMB and VPSHUFB look 64 bytes up in 64 or four times 16, VPERMI2B in 128. What was found is the next index.
int permute_loop(std::int64_t iterations) noexcept {
  __m512i index[kAccumulators];
  BITKERF_EACH index[i] = _mm512_set1_epi8(static_cast<char>(i));
  __m512i table = _mm512_set1_epi8(5);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(table));
    BITKERF_EACH index[i] = _mm512_permutexvar_epi8(index[i], table);
  }
  return last_of(index);
}
int permute_two_loop(std::int64_t iterations) noexcept {
  __m512i index[kAccumulators];
  BITKERF_EACH index[i] = _mm512_set1_epi8(static_cast<char>(i));
  __m512i low = _mm512_set1_epi8(5), high = _mm512_set1_epi8(70);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(low), "+v"(high));
    BITKERF_EACH index[i] = _mm512_permutex2var_epi8(low, index[i], high);
  }
  return last_of(index);
}
int shuffle_loop(std::int64_t iterations) noexcept {
  __m512i index[kAccumulators];
  BITKERF_EACH index[i] = _mm512_set1_epi8(static_cast<char>(i));
  __m512i table = _mm512_set1_epi8(5);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(table));
    BITKERF_EACH index[i] = _mm512_shuffle_epi8(table, index[i]);
  }
  return last_of(index);
}

// What a product of planes does: AND, count, add.
int popcount_loop(std::int64_t iterations) noexcept {
  __m512i sums[kAccumulators];
  BITKERF_EACH sums[i] = _mm512_set1_epi64(i);
  __m512i a = _mm512_set1_epi8(0x35), b = _mm512_set1_epi8(0x5a);
  for (std::int64_t n = 0; n < iterations; n++) {
    BITKERF_EACH {
      __asm__ volatile("" : "+v"(a));  // each is computed anew
      sums[i] = _mm512_add_epi64(sums[i], _mm512_popcnt_epi64(_mm512_and_si512(a, b)));
    }
  }
  return last_of(sums);
}

// Codes to bytes, from the first cache to the first cache: masks of one bit, and pairs of four bits.
constexpr int kBlock = 16;  // registers of codes that are written per iteration
int expand_one_loop(std::int64_t iterations) noexcept {
  alignas(64) std::uint8_t in[8 * kBlock] = {}, out[64 * kBlock];
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : : "r"(in), "r"(out) : "memory");
    BITKERF_EACH _mm512_store_si512(out + 64 * i, _mm512_maskz_set1_epi8(_load_mask64(reinterpret_cast<__mmask64*>(in + 8 * i)), 1));
  }
  __asm__ volatile("" : : "r"(out) : "memory");
  return out[0];
}
int expand_four_loop(std::int64_t iterations) noexcept {
  alignas(64) std::uint8_t in[32 * kBlock] = {}, out[64 * kBlock];
  __m512i low = _mm512_set1_epi8(15);
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : : "r"(in), "r"(out) : "memory");
#pragma GCC unroll 8
    for (int i = 0; i < kBlock / 2; i++) {
      __m512i pairs = _mm512_load_si512(in + 64 * i);
      _mm512_store_si512(out + 128 * i, _mm512_and_si512(pairs, low));
      _mm512_store_si512(out + 128 * i + 64, _mm512_and_si512(_mm512_srli_epi16(pairs, 4), low));
    }
  }
  __asm__ volatile("" : : "r"(out) : "memory");
  return out[0];
}

// 16 multiply-adds take 8 or 16 cycles, the 18 additions beside them 18: the additions set the time.
int clock_under_load_loop(std::int64_t iterations) noexcept {
  __m512 sums[kAccumulators];
  BITKERF_EACH sums[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  std::int64_t x = 1, y = iterations;
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+v"(a), "+v"(b));
    BITKERF_SIX_ADDS(x, y);
    BITKERF_EACH sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
    BITKERF_SIX_ADDS(x, y);
    BITKERF_SIX_ADDS(x, y);
  }
  return last_of(sums) + static_cast<int>(x);
}

int read_loop(const std::byte* data, std::int64_t bytes, std::int64_t passes) noexcept {
  __m512i sums[8] = {};
  for (std::int64_t pass = 0; pass < passes; pass++) {
    __asm__ volatile("" : : "r"(data) : "memory");
    for (std::int64_t i = 0; i < bytes; i += 512) {
#pragma GCC unroll 8
      for (int j = 0; j < 8; j++) sums[j] = _mm512_xor_si512(sums[j], _mm512_load_si512(data + i + 64 * j));
    }
  }
  for (int j = 1; j < 8; j++) sums[0] = _mm512_xor_si512(sums[0], sums[j]);
  return static_cast<int>(sums[0][0]);
}

constexpr RateLoop kRates[] = {
    {"int8_dot", "op", "", 16 * 64 * 2, int8_loop},
    {"f32_fma", "op", "", 16 * 16 * 2, float_loop},
    {"bf16_dot", "op", "avx512bf16", 16 * 32 * 2, bf16_loop},
    {"byte_shuffle", "B", "", 16 * 64, shuffle_loop},
    {"byte_permute", "B", "", 16 * 64, permute_loop},
    {"byte_permute_two", "B", "", 16 * 64, permute_two_loop},
    {"binary_dot", "op", "", 16 * 512 * 2, popcount_loop},
    {"expand_1bit", "w", "", 64 * kBlock, expand_one_loop},
    {"expand_4bit", "w", "", 64 * kBlock, expand_four_loop},
};

}  // namespace

const RoofLoops& roof_loops_avx512() {
  static constexpr RoofLoops loops = {Isa::avx512, kRates, sizeof kRates / sizeof *kRates, kClockCycles, clock_loop,
                                      clock_under_load_loop, read_loop, kStreams};
  return loops;
}

}  // namespace bitkerf
