// What the compiler makes of plain loops for the baseline instruction set (SSE2 on x86-64).
#include <cstring>

#include "measure/roof_loops.h"
#include "measure/stream.inl"

namespace bitkerf {
namespace {

typedef float Floats __attribute__((vector_size(16)));
typedef std::int16_t Shorts __attribute__((vector_size(16)));
typedef std::uint64_t Words __attribute__((vector_size(16)));

int int8_loop(std::int64_t iterations) noexcept {
  // 8-bit operands widened to 16 bits, as the portable kernels hold them; the sums wrap, which costs the same.
  Shorts sums[8] = {};
  Shorts a = {1, 2, 3, 4, 5, 6, 7, 8}, b = {8, 7, 6, 5, 4, 3, 2, 1};
  for (std::int64_t n = 0; n < iterations; n++)
    for (int i = 0; i < 8; i++) {
      __asm__ volatile("" : "+x"(a));
      sums[i] = sums[i] + a * b;
    }
  for (int i = 1; i < 8; i++) sums[0] ^= sums[i];
  return sums[0][0];
}

int float_loop(std::int64_t iterations) noexcept {
  Floats sums[8] = {};
  Floats a = {0.5f, 0.25f, 0.125f, 1.0f}, b = {0.5f, 0.25f, 0.125f, 1.0f};
  for (std::int64_t n = 0; n < iterations; n++)
    for (int i = 0; i < 8; i++) {
      __asm__ volatile("" : "+x"(a));
      sums[i] = sums[i] + a * b;
    }
  for (int i = 1; i < 8; i++) sums[0] += sums[i];
  return static_cast<int>(sums[0][0]);
}

// Bits are counted as the compiler's __builtin_popcountll does it without an instruction for it.
int popcount_loop(std::int64_t iterations) noexcept {
  std::int64_t sum = 0;
  std::uint64_t a = 0x3535353535353535, b = 0x5a5a5a5a5a5a5a5a;
  for (std::int64_t n = 0; n < iterations; n++)
    for (int i = 0; i < 8; i++) {
      __asm__ volatile("" : "+r"(a));
      sum += __builtin_popcountll(a & b);
    }
  return static_cast<int>(sum);
}

constexpr int kBlock = 128;
int expand_four_loop(std::int64_t iterations) noexcept {
  alignas(16) std::uint8_t in[kBlock / 2] = {}, out[kBlock];
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : : "r"(in), "r"(out) : "memory");
    for (int i = 0; i < kBlock / 2; i++) out[i] = in[i] & 15;
    for (int i = 0; i < kBlock / 2; i++) out[kBlock / 2 + i] = static_cast<std::uint8_t>(in[i] >> 4);
  }
  __asm__ volatile("" : : "r"(out) : "memory");
  return out[0];
}

int clock_under_load_loop(std::int64_t iterations) noexcept {
  Floats sums[8] = {};
  Floats a = {0.5f, 0.25f, 0.125f, 1.0f};
  std::int64_t x = 1, y = iterations;
  for (std::int64_t n = 0; n < iterations; n++) {
    __asm__ volatile("" : "+x"(a));
    BITKERF_SIX_ADDS(x, y);
    for (int i = 0; i < 8; i++) sums[i] = sums[i] + a;
    BITKERF_SIX_ADDS(x, y);
    BITKERF_SIX_ADDS(x, y);
  }
  for (int i = 1; i < 8; i++) sums[0] += sums[i];
  return static_cast<int>(sums[0][0]) + static_cast<int>(x);
}

int read_loop(const std::byte* data, std::int64_t bytes, std::int64_t passes) noexcept {
  Words sums[8] = {};
  for (std::int64_t pass = 0; pass < passes; pass++) {
    __asm__ volatile("" : : "r"(data) : "memory");
    for (std::int64_t i = 0; i < bytes; i += 128)
      for (int j = 0; j < 8; j++) {
        Words word;
        std::memcpy(&word, data + i + 16 * j, 16);
        sums[j] ^= word;
      }
  }
  for (int j = 1; j < 8; j++) sums[0] ^= sums[j];
  return static_cast<int>(sums[0][0] + sums[0][1]);
}

constexpr RateLoop kRates[] = {
    {"int8_dot", "op", "", 8 * 8 * 2, int8_loop},
    {"f32_fma", "op", "", 8 * 4 * 2, float_loop},
    {"binary_dot", "op", "", 8 * 64 * 2, popcount_loop},
    {"expand_4bit", "w", "", kBlock, expand_four_loop},
};

}  // namespace

const RoofLoops& roof_loops_portable() {
  static constexpr RoofLoops loops = {Isa::portable, kRates, sizeof kRates / sizeof *kRates, kClockCycles, clock_loop,
                                      clock_under_load_loop, read_loop, kStreams};
  return loops;
}

const RoofLoops& roof_loops(Isa isa) {
  constexpr const RoofLoops& (*kLoops[])() = {roof_loops_portable, roof_loops_avx2, roof_loops_avx512};  // in the order of Isa
  return kLoops[static_cast<int>(isa)]();
}

}  // namespace bitkerf
