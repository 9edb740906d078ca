// L-Mul (Luo, Sun: Addition is All You Need for Energy-efficient Language Models): a product of floats by one addition of
// their bits. With x = +-(1 + fx) 2^ex of m mantissa bits,
//
//   L(x, y) = +-(1 + fx + fy + 2^-l) 2^(ex + ey),   l = m up to 3, 3 for 4, 4 above
//
// As integers: |x| + |y| - (bias << m) + (1 << (m - l)), where a carry out of the mantissa raises the exponent, so that the
// product is 2 (fx + fy + 2^-l) there: the `carry` form. `formula` keeps 1 + fx + fy + 2^-l. A zero or subnormal operand
// makes 0, underflow makes 0, overflow and infinite operands make the largest float. A study of precision, not of speed.
#pragma once

#include <bit>
#include <cstdint>

namespace bitkerf {

struct LMul {
  int mantissa_bits;  // 1 to 8
  bool formula;

  constexpr int offset_bits() const { return mantissa_bits <= 3 ? mantissa_bits : mantissa_bits == 4 ? 3 : 4; }
};

// The bits of x rounded to `mantissa_bits` of mantissa (to nearest even), still as a float.
constexpr std::uint32_t l_mul_operand(float x, const LMul& mode) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  int drop = 23 - mode.mantissa_bits;
  std::uint32_t magnitude = bits & 0x7fffffff;
  magnitude += (1u << (drop - 1)) - 1 + (magnitude >> drop & 1);
  magnitude = magnitude >> drop << drop;
  magnitude = magnitude > 0x7f800000 ? 0x7f800000 : magnitude;
  magnitude = magnitude < 0x00800000 ? 0 : magnitude;
  return magnitude | (bits & 0x80000000);
}

// The product of two operands.
constexpr float l_mul(std::uint32_t x, std::uint32_t y, const LMul& mode) {
  constexpr std::uint32_t kBias = 127u << 23, kOne = 1u << 23, kLargest = 0x7f7fffff;
  std::uint32_t sign = (x ^ y) & 0x80000000, a = x & 0x7fffffff, b = y & 0x7fffffff;
  std::uint32_t offset = 1u << (23 - mode.offset_bits());
  std::uint32_t sum = a + b + offset;  // at most 2^32 - 2^24 + 2^22
  // fx + fy + 2^-l, below 2.5. From 1 on the formula's 1 + s is 1 + (s - 1) / 2 of the next exponent.
  std::uint32_t s = (a & (kOne - 1)) + (b & (kOne - 1)) + offset;
  if (mode.formula && s >= kOne) sum = (((a >> 23) + (b >> 23) + 1) << 23) + (s - kOne) / 2;
  std::uint32_t magnitude = sum - kBias;
  magnitude = sum >= kBias + 0x7f800000u ? kLargest : magnitude;
  magnitude = a >= 0x7f800000 || b >= 0x7f800000 ? kLargest : magnitude;
  magnitude = sum < kBias + kOne || a == 0 || b == 0 ? 0 : magnitude;
  return std::bit_cast<float>(magnitude | sign);
}

}  // namespace bitkerf
