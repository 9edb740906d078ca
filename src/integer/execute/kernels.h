// The loops of integer-only execution: one table of them per instruction set, the same bits in all three, as every
// result is an exact integer. No floating point here: tests/integer_objects_test.py looks at the machine code of all
// objects of this folder.
//
// Fixed-point names: Q16 is an integer that stands for itself divided by 2^16.
#pragma once

#include <cstdint>

namespace bitkerf {

// round(x m / 2^shift), halves up: a real factor as a dyadic number (HAWQ-V3). 0 <= m < 2^31, 1 <= shift <= 62.
struct Dyadic {
  std::int32_t multiplier = 0;
  std::int32_t shift = 1;
};

// A function of one variable between -16 and 16: kGateEntries values in steps of 1/64, as Q20; beyond the ends it stays.
inline constexpr std::int64_t kGateEntries = 32 * 64 + 1;
// 2^-x between 0 and 1: kPowerEntries values in steps of 1/256, as Q24.
inline constexpr std::int64_t kPowerEntries = 257;

// A panel of codes: for every four columns (a quad) of 32 rows 4 bytes each, code + 128.
inline constexpr std::int64_t kIntegerRows = 32;
inline constexpr std::int64_t kQuad = 4;

struct IntegerKernels {
  // out[t * out_stride + r] = sum over 4 * quads columns of code(r, c) x(t, c), for the 32 rows of a panel.
  void (*products)(const std::uint8_t* panel, const std::int8_t* x, std::int64_t x_stride, std::int64_t tokens, std::int64_t quads,
                   std::int32_t* out, std::int64_t out_stride) noexcept;

  // y[i] = clip(round(x[i] m[i] / 2^shift), limit). Any x.
  void (*rescale)(const std::int32_t* x, const std::int32_t* multipliers, std::int32_t shift, std::int32_t limit, std::int64_t n,
                  std::int32_t* y) noexcept;
  // The same of 256 high[i] + low[i], which may need 40 bits.
  void (*rescale_wide)(const std::int32_t* high, const std::int32_t* low, const std::int32_t* multipliers, std::int32_t shift,
                       std::int32_t limit, std::int64_t n, std::int32_t* y) noexcept;
  // x[i] = clip(x[i] + delta[i], 2^30)
  void (*add)(std::int32_t* x, const std::int32_t* delta, std::int64_t n) noexcept;
  // x[i] = round(code[i] m / 2^shift): a row of the embedding.
  void (*look_up)(const std::int8_t* codes, Dyadic scale, std::int64_t n, std::int32_t* x) noexcept;
  void (*narrow_to_8)(const std::int32_t* x, std::int64_t n, std::int8_t* y) noexcept;    // of |x| <= 127
  void (*narrow_to_16)(const std::int32_t* x, std::int64_t n, std::int16_t* y) noexcept;  // of |x| <= 32767
  // x = 256 high + low, of |x| <= 32512
  void (*split)(const std::int32_t* x, std::int64_t n, std::int8_t* high, std::int8_t* low) noexcept;

  // z = x / |x| as Q30, |x|^2 the sum of squares plus `epsilon`; inverse root by Newton. |x| <= 2^30, n <= 2^16.
  void (*normalize)(const std::int32_t* x, std::int64_t epsilon, std::int64_t n, std::int32_t* z) noexcept;
  // x -= round(mean)
  void (*center)(std::int32_t* x, std::int64_t n) noexcept;

  // Pair i of a head turns by the angle of table (cos i, sin i) as Q14, i < pairs: y = clip(turned / 8, limit).
  // |x| <= 32767; values from 2 * pairs on are divided only.
  void (*rotate)(const std::int16_t* table, const std::int32_t* x, std::int64_t pairs, std::int64_t n, std::int32_t limit,
                 std::int16_t* y) noexcept;
  // out[j] = sum over n of q[i] keys[j * stride + i]; the caller sees to it that sums fit.
  void (*dots)(const std::int16_t* q, const std::int16_t* keys, std::int64_t stride, std::int64_t count, std::int64_t n,
               std::int32_t* out) noexcept;
  // p = 2^(scale (s - max s)) / their sum, as Q15, at most 32767. scale: of scores to Q16; they differ by at most 2^31 and are
  // overwritten. count <= 2^20.
  void (*softmax)(std::int32_t* scores, Dyadic scale, const std::int32_t* powers, std::int64_t count, std::int16_t* p) noexcept;
  // out[i] = sum over j of p[j] values[j * stride + i]
  void (*weigh)(const std::int16_t* p, const std::int16_t* values, std::int64_t stride, std::int64_t count, std::int64_t n,
                std::int32_t* out) noexcept;

  // y = x f(x), both as Q16, f a table as above: SiLU with the logistic function, GELU with the normal distribution's.
  // |x| <= 2^27.
  void (*gate)(const std::int32_t* x, const std::int32_t* table, std::int64_t n, std::int32_t* y) noexcept;
  // y = clip(gate[i] up[i] / 2^16, 2^31 - 1), |gate|, |up| <= 2^27
  void (*multiply)(const std::int32_t* gate, const std::int32_t* up, std::int64_t n, std::int32_t* y) noexcept;

  // acc[i] += dot[i] 2^shift[i]; negative shifts round.
  void (*add_shifted)(const std::int32_t* dot, const std::int8_t* exponents, std::int32_t plus, std::int64_t n, std::int64_t* acc) noexcept;
  // Blocks of 32: codes of 8 bits and an exponent each, x ~ code 2^exponent. n is a multiple of 32.
  void (*to_blocks)(const std::int32_t* x, std::int32_t exponent, std::int64_t n, std::int8_t* codes, std::int8_t* exponents) noexcept;
  // Nibbles of code + 8, low ones of codes 0 to n - 1, high ones of n to 2 n - 1, to code + 128.
  void (*unpack)(const std::uint8_t* nibbles, std::int64_t n, std::uint8_t* codes) noexcept;
  // sum of a[i] b[i]
  std::int32_t (*dot_bytes)(const std::int8_t* a, const std::int8_t* b, std::int64_t n) noexcept;
};

extern const IntegerKernels kIntegerPortable, kIntegerAvx2, kIntegerAvx512;

}  // namespace bitkerf
