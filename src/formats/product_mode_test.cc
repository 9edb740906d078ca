#include "formats/product_mode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "core/error.h"

namespace bitkerf {
namespace {

// Bit for bit as Python's integers: tests/golden/make_l_mul.py.
TEST(LMul, IsThatOfPythonsIntegers) {
  std::ifstream file(BITKERF_SOURCE_DIR "/tests/golden/l_mul.txt");
  int lines = 0;
  for (std::string line; std::getline(file, line);) {
    if (line[0] == '#') continue;
    std::istringstream words(line);
    int m = 0;
    std::uint32_t ex = 0, ey = 0;
    std::string form, want;
    words >> m >> form >> ex >> ey >> want;
    LMul mode{m, form == "formula"};
    std::uint64_t hash = 0xCBF29CE484222325u;
    for (std::uint32_t fx = 0; fx < 128; fx++)
      for (std::uint32_t fy = 0; fy < 128; fy += ex == 127 || ey == 127 ? 1 : 9) {
        std::uint32_t x = l_mul_operand(std::bit_cast<float>(ex << 23 | fx << 16), mode);
        std::uint32_t y = l_mul_operand(std::bit_cast<float>(1u << 31 | ey << 23 | fy << 16), mode);
        auto bits = std::bit_cast<std::uint32_t>(l_mul(x, y, mode));
        for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ (bits >> shift & 255)) * 0x100000001B3u;
      }
    ASSERT_EQ(hash, std::stoull(want, nullptr, 16)) << line;
    lines++;
  }
  EXPECT_EQ(lines, 3 * 2 * 16 * 16);
}

// Relative errors of products of all mantissas of m bits, computed with numpy too (bench/l_mul.py's functions).
TEST(LMul, ErrorsOfUniformMantissas) {
  struct Case {
    LMul mode;
    double rms, mean;
  };
  for (const Case& c : {Case{{7, false}, 0.031, 0.004}, Case{{4, false}, 0.058, 0.049}, Case{{7, true}, 0.095, -0.063}, Case{{4, true}, 0.0834, -0.0218}}) {
    double squares = 0, sum = 0;
    int steps = 1 << c.mode.mantissa_bits;
    for (int i = 0; i < steps; i++)
      for (int j = 0; j < steps; j++) {
        float x = 1 + static_cast<float>(i) / static_cast<float>(steps), y = 1 + static_cast<float>(j) / static_cast<float>(steps);
        double e = l_mul(l_mul_operand(x, c.mode), l_mul_operand(y, c.mode), c.mode) / (double{x} * y) - 1;
        squares += e * e, sum += e;
      }
    EXPECT_NEAR(std::sqrt(squares / steps / steps), c.rms, 0.001);
    EXPECT_NEAR(sum / steps / steps, c.mean, 0.001);
  }
}

TEST(ProductMode, RoundsOperands) {
  const ProductMode& e4m3 = product_mode("e4m3");
  EXPECT_EQ(Operands(e4m3)(1.07f), 1.125f);
  EXPECT_EQ(product(e4m3, 1.125f, 3), 3.375f);
  EXPECT_EQ(Operands(product_mode("lmul:m=4"))(1.0312f), 1.0f);
  EXPECT_THROW(product_mode("lmul:m=5"), Error);
}

}  // namespace
}  // namespace bitkerf
