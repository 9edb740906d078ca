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
    if (!out.bipolar) code = nearest_even(x[i] * inverse);
    else if (i >= count) code = 0;
    else {
      // The odd number of the cell between even numbers that x lies in.
      float cell = __builtin_floorf(x[i] * inverse * 0.5f);
      cell = std::min(std::max(cell, -0.5f * static_cast<float>(most + 1)), 0.5f * static_cast<float>(most - 1));
      code = 2 * static_cast<std::int32_t>(cell) + 1;
    }
    std::int32_t low = 0;
    if (out.low) {
      low = static_cast<std::int8_t>(code & 255);
      out.low[at + i] = static_cast<std::int8_t>(low);
    }
    out.q[at + i] = static_cast<std::int8_t>(out.low ? (code - low) / 256 : code);
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
        if (whole > begin) top = Lanes::top(row + 32 * begin, 32 * (whole - begin));
        if (whole < end) top = std::max(top, Lanes::top(unit_of(row, cols, whole, tail), 32));
        scale = top / top_code;
      }
      // Below 2^-111 the inverse could be infinite: such a group is zero to anything that it is added to.
      float inverse = top > 0x1p-111f ? (out.bipolar ? 1.0f : top_code) / top : 0.0f;
      out.scale[t * out.groups + g] = scale;
      for (i64 u = begin; u < end; u++) {
        const float* x = unit_of(row, cols, u, tail);
        const i64 at = t * out.units + u, q_at = t * out.cols + 32 * u;
        std::int32_t sum[2];
        for (int half = 0; half < 2; half++) {
          if (out.bipolar || out.low) sum[half] = encode16_any(x + 16 * half, inverse, cols - 32 * u - 16 * half, q_at + 16 * half, out);
          else sum[half] = Lanes::quantize(x + 16 * half, inverse, out.q + q_at + 16 * half);
          out.minus_sum16[2 * at + half] = -sum[half];
        }
        std::int32_t* before = out.minus_before + at + t;
        before[1] = before[0] - sum[0] - sum[1];
        if (out.planes) {
          const std::int8_t* q = out.q + q_at;
          for (int b = 0; b < out.bits; b++) {
            std::uint32_t word = 0;
            for (int i = 0; i < 32; i++) {
              int code = out.bipolar ? (q[i] + (1 << out.bits) - 1) / 2 : q[i];
              if (32 * u + i < cols) word |= static_cast<std::uint32_t>(code >> (out.bits - 1 - b) & 1) << i;
            }
            out.planes[(t * out.bits + b) * out.units + u] = word;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitkerf
