// The maximum, the rounding and the integer sums are exact in any order, so every instruction set gives the same bits.
#include <algorithm>

namespace bitkerf {
namespace {

// Step of the uniform quantizer of 2^bits levels with the least squared error for a normal distribution of deviation 1
// (Max 1960, table II), halved: codes are odd.
inline constexpr float kHalfStep[] = {0, 0.79788f, 0.4978f, 0.293f, 0.1676f};  // by bits

// 32 columns, the last ones zero when the row ends before.
inline const float* unit_of(const float* row, i64 cols, i64 unit, float* tail) {
  const float* x = row + 32 * unit;
  if (32 * (unit + 1) <= cols) return x;
  for (i64 i = 0; i < 32; i++) tail[i] = 32 * unit + i < cols ? x[i] : 0.0f;
  return tail;
}

// a / b, or 0 where b is at most 2^-111 or NaN: by masks, so that its time does not tell which.
inline float bounded_inverse(float a, float b) {
  const std::uint32_t keep = -static_cast<std::uint32_t>(b > 0x1p-111f);
  const std::uint32_t divisor = (__builtin_bit_cast(std::uint32_t, b) & keep) | (0x3f800000 & ~keep);
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, a / __builtin_bit_cast(float, divisor)) & keep);
}

// The largest size of n floats and `least`; as integers, so that NaN is larger than all numbers.
inline float largest_size(const float* x, i64 n, float least) {
  std::uint32_t most = __builtin_bit_cast(std::uint32_t, least);
  for (i64 i = 0; i < n; i++) most = std::max(most, __builtin_bit_cast(std::uint32_t, x[i]) & 0x7fffffff);
  return __builtin_bit_cast(float, most);
}

inline std::int32_t nearest_even(float v) {
  float shifted = v + 12582912.0f;  // 1.5 * 2^23: the integer is left in the low bits
  std::int32_t bits;
  __builtin_memcpy(&bits, &shifted, 4);
  return bits - 0x4b400000;
}

// Codes of 16 columns from `at` on; returns their sum. `count`: columns that are there.
inline std::int32_t encode16_any(const float* x, float inverse, i64 count, i64 at, const IntRows& out) {
  std::int32_t sum = 0, most = (1 << out.bits) - 1;
  for (i64 i = 0; i < 16; i++) {
    std::int32_t code;
    const float v = __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, x[i] * inverse) & -static_cast<std::uint32_t>(inverse != 0));
    if (!out.bipolar) code = nearest_even(v);
    else if (i >= count) code = 0;
    else {
      // The odd number of the cell between even numbers that x lies in.
      const auto cell = static_cast<std::int32_t>(__builtin_floorf(v * 0.5f));  // |v| is at most the root of the group's length / kHalfStep
      code = 2 * std::min(std::max(cell, -(most + 1) / 2), (most - 1) / 2) + 1;
    }
    std::int32_t low = 0;
    if (out.low) {
      low = static_cast<std::int8_t>(code & 255);
      out.low[at + i] = static_cast<std::int8_t>(low);
    }
    out.q[at + i] = static_cast<std::int8_t>(out.low ? (code - low) >> 8 : code);
    sum += code;
  }
  return sum;
}

inline void encode_rows(const float* data, i64 cols, i64 stride, i64 first, i64 last, const IntRows& out) {
  // 16 bits: the largest code whose high part fits a byte.
  const float top_code = out.low ? 127 * 256 + 127 : static_cast<float>((1 << (out.bits - 1)) - 1);
  for (i64 t = first; t < last; t++) {
    const float* row = data + t * stride;
    out.minus_before[t * (out.units + 1)] = 0;
    for (i64 g = 0; g < out.groups; g++) {
      i64 begin = g * out.group_units, end = std::min(begin + out.group_units, out.units);
      float tail[32], top = 0, scale;
      if (out.bipolar) {
        float squares = 0;  // in one order on every instruction set
        i64 n = std::min(32 * end, cols) - 32 * begin;
        for (i64 c = 0; c < n; c++) squares = __builtin_fmaf(row[32 * begin + c], row[32 * begin + c], squares);
        top = scale = kHalfStep[out.bits] * __builtin_sqrtf(squares / static_cast<float>(n));
      } else {
        i64 whole = std::min(end, cols / 32);
        if (whole > begin) top = largest_size(row + 32 * begin, 32 * (whole - begin), top);
        if (whole < end) top = largest_size(unit_of(row, cols, whole, tail), 32, top);
        scale = top / top_code;
      }
      // Below 2^-111 the inverse could be infinite: such a group is zero to anything that it is added to. Where x is NaN or
      // infinite the codes mean nothing, and the scale, which is then NaN or infinite, makes every output so.
      float inverse = bounded_inverse(out.bipolar ? 1.0f : top_code, top);
      out.scale[t * out.groups + g] = scale;
      for (i64 u = begin; u < end; u++) {
        const float* x = unit_of(row, cols, u, tail);
        const i64 at = t * out.units + u, q_at = t * out.cols + 32 * u;
        std::int32_t sum[2];
        for (int half = 0; half < 2; half++) {
          if (out.bipolar || out.low) sum[half] = encode16_any(x + 16 * half, inverse, cols - 32 * u - 16 * half, q_at + 16 * half, out);
          else sum[half] = Lanes::quantize(x + 16 * half, inverse, out.q + q_at + 16 * half);
          out.minus_sum16[2 * at + half] = static_cast<std::int32_t>(0u - static_cast<std::uint32_t>(sum[half]));
        }
        std::int32_t* before = out.minus_before + at + t;
        // Sums that mean nothing may wrap.
        before[1] = static_cast<std::int32_t>(static_cast<std::uint32_t>(before[0]) - static_cast<std::uint32_t>(sum[0]) - static_cast<std::uint32_t>(sum[1]));
        if (out.planes) {
          const std::int8_t* q = out.q + q_at;
          for (int b = 0; b < out.bits; b++) {
            std::uint32_t word = 0;
            for (int i = 0; i < 32; i++) {
              int code = out.bipolar ? (q[i] + (1 << out.bits) - 1) >> 1 : q[i];
              word |= static_cast<std::uint32_t>(code >> (out.bits - 1 - b) & 1) << i;
            }
            const i64 there = std::min<i64>(cols - 32 * u, 32);
            out.planes[(t * out.bits + b) * out.units + u] = word & static_cast<std::uint32_t>((std::uint64_t{1} << there) - 1);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitkerf
