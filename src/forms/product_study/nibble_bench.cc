// What splitting activations into nibbles could save per instruction set, in one core's registers and first cache: products of
// 32 rows x 512 columns with one token, weights 4-bit codes in bytes.
//
//   avx2 8-bit      vpmaddubsw, vpmaddwd by ones, vpaddd: what int8 activations take without a dot product instruction
//   avx2 nibbles    vpmaddubsw of 4-bit activations: pairs are at most 240, so 128 of them add up in 16 bits: vpaddw, and one
//                   vpmaddwd per 256 columns. Both parts: twice that
//   vnni            vpdpbusd: 8-bit activations in one instruction, so that two nibbles take twice the time of one byte
#include <immintrin.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "core/buffer.h"
#include "measure/clock.h"

namespace {

using bitkerf::i64;
constexpr int kRows = 32, kCols = 512, kSteps = kCols / 4;  // a step: 4 columns of 32 rows, 128 bytes

#define AVX2 [[gnu::target("avx2"), gnu::noinline]]
#define VNNI [[gnu::target("avx512f,avx512bw,avx512vl,avx512vnni"), gnu::noinline]]

AVX2 void byte_avx2(const std::uint8_t* w, const std::int8_t* x, std::int32_t* y) {
  __m256i sum[4] = {};
  const __m256i ones = _mm256_set1_epi16(1);
  for (int s = 0; s < kSteps; s++) {
    const __m256i v = _mm256_set1_epi32(reinterpret_cast<const std::int32_t*>(x)[s]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const __m256i p = _mm256_maddubs_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 128 * s + 32 * i)), v);
      sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(p, ones));
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) _mm256_storeu_si256(reinterpret_cast<__m256i*>(y) + i, sum[i]);
}

AVX2 void nibble_avx2(const std::uint8_t* w, const std::int8_t* x, std::int32_t* y) {
  __m256i sum[4] = {};
  const __m256i ones = _mm256_set1_epi16(1);
  for (int first = 0; first < kSteps; first += 64) {
    __m256i part[4] = {};
    for (int s = first; s < first + 64; s++) {
      const __m256i v = _mm256_set1_epi32(reinterpret_cast<const std::int32_t*>(x)[s]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++)
        part[i] = _mm256_add_epi16(part[i], _mm256_maddubs_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 128 * s + 32 * i)), v));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(part[i], ones));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) _mm256_storeu_si256(reinterpret_cast<__m256i*>(y) + i, sum[i]);
}

VNNI void byte_vnni256(const std::uint8_t* w, const std::int8_t* x, std::int32_t* y) {
  __m256i sum[4] = {};
  for (int s = 0; s < kSteps; s++) {
    const __m256i v = _mm256_set1_epi32(reinterpret_cast<const std::int32_t*>(x)[s]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) sum[i] = _mm256_dpbusd_epi32(sum[i], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 128 * s + 32 * i)), v);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) _mm256_storeu_si256(reinterpret_cast<__m256i*>(y) + i, sum[i]);
}

VNNI void byte_vnni512(const std::uint8_t* w, const std::int8_t* x, std::int32_t* y) {
  __m512i sum[4] = {};  // two chains per half
  for (int s = 0; s < kSteps; s += 2)
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
      sum[i] = _mm512_dpbusd_epi32(sum[i], _mm512_loadu_si512(w + 128 * s + 64 * i), _mm512_set1_epi32(reinterpret_cast<const std::int32_t*>(x)[s + i / 2]));
  _mm512_storeu_si512(y, _mm512_add_epi32(sum[0], sum[2]));
  _mm512_storeu_si512(y + 16, _mm512_add_epi32(sum[1], sum[3]));
}

double best_seconds(void (*kernel)(const std::uint8_t*, const std::int8_t*, std::int32_t*), const std::uint8_t* w, const std::int8_t* x, std::int32_t* y) {
  double best = 1e9;
  for (int round = 0; round < 50; round++) {
    const double start = bitkerf::now();
    for (int i = 0; i < 2000; i++) {
      kernel(w, x, y);
      asm volatile("" ::: "memory");
    }
    best = std::min(best, (bitkerf::now() - start) / 2000);
  }
  return best;
}

}  // namespace

int main() {
  bitkerf::Buffer<std::uint8_t> w(kRows * kCols);
  bitkerf::Buffer<std::int8_t> x(kCols), high(kCols), low(kCols);
  for (i64 i = 0; i < w.size(); i++) w[i] = static_cast<std::uint8_t>(std::rand() % 16);
  for (i64 c = 0; c < kCols; c++) {
    x[c] = static_cast<std::int8_t>(std::rand() % 255 - 127);
    high[c] = static_cast<std::int8_t>(std::min(7, (x[c] + 8) >> 4));
    low[c] = static_cast<std::int8_t>(x[c] - 16 * high[c]);
  }
  std::int32_t want[kRows], got[kRows], more[kRows];
  byte_avx2(w.data(), x.data(), want);
  nibble_avx2(w.data(), high.data(), got);
  nibble_avx2(w.data(), low.data(), more);
  for (int r = 0; r < kRows; r++)
    if (want[r] != 16 * got[r] + more[r]) return std::printf("row %d: %d and %d, expected %d\n", r, got[r], more[r], want[r]), 1;
  struct {
    const char* name;
    void (*kernel)(const std::uint8_t*, const std::int8_t*, std::int32_t*);
    const std::int8_t* input;
  } rows[] = {{"avx2 8-bit", byte_avx2, x.data()}, {"avx2 nibbles, one part", nibble_avx2, high.data()}, {"vnni, 256 bits", byte_vnni256, x.data()}, {"vnni, 512 bits", byte_vnni512, x.data()}};
  for (auto& row : rows) {
    const double seconds = best_seconds(row.kernel, w.data(), row.input, got);
    std::printf("%-24s %7.2f G products/s\n", row.name, kRows * kCols / seconds / 1e9);
  }
}
