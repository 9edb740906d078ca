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

// Codes of 16 bits of 16 columns from `at` on; returns their sum.
inline std::int32_t encode16_wide(const float* x, float inverse, i64 at, const IntRows& out) {
  std::int32_t sum = 0;
  for (i64 i = at; i < at + 16; i++, x++) {
    // Of a group without an inverse, zeros, whatever x is.
    const auto keep = -static_cast<std::uint32_t>(inverse != 0);
    const std::int32_t code = nearest_even(__builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, *x * inverse) & keep));
    out.low[i] = static_cast<std::int8_t>(code & 255);
    out.q[i] = static_cast<std::int8_t>((code - out.low[i]) >> 8);
    sum += code;
  }
  return sum;
}

// The planes of 32 codes, and minus the sums of the codes of either half, which are cheaper to count than to add.
inline void encode_planes(const std::int8_t* q, i64 there, const IntRows& out, i64 token, i64 unit) {
  // Twice a bipolar level is the code plus the largest one.
  const int most = out.bipolar ? (1 << out.bits) - 1 : 0;
  const std::uint32_t mask = there < 32 ? (1u << there) - 1 : ~0u;
  std::int32_t sum[2] = {};
  for (int b = 0; b < out.bits; b++) {
    const std::uint32_t word = mask & Lanes::bit_of(q, most, out.bits - 1 - b + out.bipolar);
    out.planes[(token * out.bits + b) * out.units + unit] = word;
    for (int half = 0; half < 2; half++) {
      const int ones = __builtin_popcount(word >> (16 * half) & 0xffff);
      sum[half] = 2 * sum[half] + (b == 0 && !out.bipolar ? -ones : ones);
    }
  }
  for (int half = 0; half < 2; half++) {
    if (out.bipolar) sum[half] = 2 * sum[half] - most * __builtin_popcount(mask >> (16 * half) & 0xffff);
    out.minus_sum16[2 * (token * out.units + unit) + half] = -sum[half];
  }
}

// Sum of squares of the columns of units [begin, end), in one order on every instruction set: by 16 lanes, then in pairs.
inline float squares_of(const float* row, i64 cols, i64 begin, i64 end, float* tail) {
  float lanes[16] = {}, last[16] = {};
  i64 whole = std::min(end, cols / 32);
  if (whole > begin) Lanes::squares(row + 32 * begin, 32 * (whole - begin), lanes);
  if (whole < end) Lanes::squares(unit_of(row, cols, whole, tail), 32, last);
  for (int i = 0; i < 16; i++) lanes[i] += last[i];
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; i++) lanes[i] += lanes[i + n];
  return lanes[0];
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
        float mean = squares_of(row, cols, begin, end, tail) / static_cast<float>(std::min(32 * end, cols) - 32 * begin);
        top = scale = kHalfStep[out.bits] * __builtin_sqrtf(mean);
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
        for (int half = 0; half < 2; half++) {
          const float* from = x + 16 * half;
          std::int8_t* to = out.q + q_at + 16 * half;
          std::int32_t sum = 0;
          // With planes the sums are counted below; not asked for, they cost nothing here.
          if (out.low) sum = encode16_wide(from, inverse, q_at + 16 * half, out);
          else if (out.bipolar) Lanes::quantize_odd(from, inverse, (1 << out.bits) - 1, to);
          else if (out.planes) Lanes::quantize(from, inverse, to);
          else sum = Lanes::quantize(from, inverse, to);
          if (!out.planes) out.minus_sum16[2 * at + half] = static_cast<std::int32_t>(0u - static_cast<std::uint32_t>(sum));
        }
      }
      // Zero is no bipolar code: columns of padding need care.
      if (out.bipolar)
        for (i64 c = cols; c < 32 * end; c++) out.q[t * out.cols + c] = 0;
      // In a loop of its own: what two stores wrote just now, one load would wait for.
      if (out.planes)
        for (i64 u = begin; u < end; u++) encode_planes(out.q + t * out.cols + 32 * u, cols - 32 * u, out, t, u);
      std::int32_t* before = out.minus_before + t * (out.units + 1);
      const std::int32_t* halves = out.minus_sum16 + 2 * t * out.units;
      for (i64 u = begin; u < end; u++)  // sums that mean nothing may wrap
        before[u + 1] = static_cast<std::int32_t>(static_cast<std::uint32_t>(before[u]) + static_cast<std::uint32_t>(halves[2 * u]) +
                                                  static_cast<std::uint32_t>(halves[2 * u + 1]));
      const auto sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(before[begin]) - static_cast<std::uint32_t>(before[end]));
      out.scaled_sum[t * out.groups + g] = scale * static_cast<float>(sum);
    }
  }
}

}  // namespace
}  // namespace bitkerf
