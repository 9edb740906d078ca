#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "core/float16.h"

namespace bitkerf {
namespace {

std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

// The value of a finite half by the definition of the format.
double half_value(std::uint16_t half) {
  int exponent = half >> 10 & 31, fraction = half & 1023;
  double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

TEST(Float16, EveryHalfIsExactAndComesBack) {
  for (int i = 0; i < 0x10000; i++) {
    std::uint16_t half = static_cast<std::uint16_t>(i);
    float value = f16_to_f32(half);
    if ((half & 0x7fff) > 0x7c00) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_EQ(f32_to_f16(value), half | 0x0200);
    } else if ((half & 0x7fff) == 0x7c00) {
      EXPECT_EQ(value, half & 0x8000 ? -HUGE_VALF : HUGE_VALF);
      EXPECT_EQ(f32_to_f16(value), half);
    } else {
      ASSERT_EQ(bits_of(value), bits_of(static_cast<float>(half_value(half)))) << i;
      ASSERT_EQ(f32_to_f16(value), half);
    }
  }
}

TEST(Float16, RoundsToNearestEven) {
  for (int i = 0; i < 0x7bff; i++) {  // all neighbours of one sign
    std::uint16_t low = static_cast<std::uint16_t>(i), high = static_cast<std::uint16_t>(i + 1);
    // A half has 11 significant bits, so the middle of two is exact in float.
    float middle = static_cast<float>((half_value(low) + half_value(high)) / 2);
    ASSERT_EQ(f32_to_f16(middle), i % 2 == 0 ? low : high) << i;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), low) << i;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, HUGE_VALF)), high) << i;
    ASSERT_EQ(f32_to_f16(-middle), (i % 2 == 0 ? low : high) | 0x8000) << i;
  }
  EXPECT_EQ(f32_to_f16(65519.99f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(std::bit_cast<float>(1u)), 0);
}

TEST(Float16, Bfloat16RoundsToNearestEven) {
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie to even
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7f7fffffu)), 0x7f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7f800001u)), 0x7fc0);  // NaN stays NaN
  for (int i = 0; i < 0x10000; i++) {
    std::uint16_t half = static_cast<std::uint16_t>(i);
    bool nan = (half & 0x7fff) > 0x7f80;
    EXPECT_EQ(f32_to_bf16(bf16_to_f32(half)), nan ? half | 0x40 : half);
  }
}

}  // namespace
}  // namespace bitkerf
