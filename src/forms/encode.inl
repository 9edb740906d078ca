// Plain loops over 32 columns that compilers vectorise; the maximum, the rounding and the integer sums are exact in any
// order, so every instruction set gives the same bits.
namespace bitkerf {
namespace {

inline void encode_rows(const float* data, i64 stride, i64 first, i64 last, const Int8Rows& out) {
  for (i64 t = first; t < last; t++) {
    for (i64 g = 0; g < out.groups; g++) {
      const float* x = data + t * stride + 32 * g;
      std::int8_t* q = out.q + t * out.cols + 32 * g;
      float top = 0;
      for (int i = 0; i < 32; i++) {
        float a = __builtin_fabsf(x[i]);
        top = a > top ? a : top;
      }
      float scale = top / 127.0f;
      float inverse = top > 0 ? 127.0f / top : 0.0f;
      // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, and leaves it in the low bits. A subnormal
      // `top` makes the inverse infinite; the clamp keeps such rows finite.
      if (inverse > 3e38f) inverse = 3e38f;
      std::int32_t sum[2] = {0, 0};
      for (int half = 0; half < 2; half++) {
        std::int32_t total = 0;
        for (int i = 0; i < 16; i++) {
          float shifted = x[16 * half + i] * inverse + 12582912.0f;
          std::int32_t bits;
          __builtin_memcpy(&bits, &shifted, 4);
          std::int32_t code = static_cast<std::int8_t>(bits & 0xff);
          q[16 * half + i] = static_cast<std::int8_t>(code);
          total += code;
        }
        sum[half] = total;
      }
      i64 at = t * out.groups + g;
      out.scale[at] = scale;
      out.minus_sum[at] = -(sum[0] + sum[1]);
      out.scaled_sum[at] = scale * static_cast<float>(sum[0] + sum[1]);
      for (int half = 0; half < 2; half++) {
        out.minus_sum16[2 * at + half] = -sum[half];
        out.scaled_sum16[2 * at + half] = scale * static_cast<float>(sum[half]);
      }
    }
  }
}

}  // namespace
}  // namespace bitkerf
