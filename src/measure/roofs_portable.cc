// What the compiler makes of plain loops for the baseline instruction set (SSE2 on x86-64).
#include <cstring>

#include "measure/roof_loops.h"

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

int read_loop(const std::byte* data, std::int64_t bytes) noexcept {
  Words sums[8] = {};
  for (std::int64_t i = 0; i < bytes; i += 128)
    for (int j = 0; j < 8; j++) {
      Words word;
      std::memcpy(&word, data + i + 16 * j, 16);
      sums[j] ^= word;
    }
  for (int j = 1; j < 8; j++) sums[0] ^= sums[j];
  return static_cast<int>(sums[0][0] + sums[0][1]);
}

}  // namespace

const RoofLoops& roof_loops_portable() {
  static constexpr RoofLoops loops = {Isa::portable, 8 * 8 * 2, int8_loop, 8 * 4 * 2, float_loop, read_loop};
  return loops;
}

}  // namespace bitkerf
