// The maximum, the rounding and the integer sums are exact in any order, so every instruction set gives the same bits.
namespace bitkerf {
namespace {

inline void encode_rows(const float* data, i64 cols, i64 stride, i64 first, i64 last, const Int8Rows& out) {
  for (i64 t = first; t < last; t++) {
    for (i64 g = 0; g < out.groups; g++) {
      const float* x = data + t * stride + 32 * g;
      float tail[32];
      if (32 * (g + 1) > cols) {
        for (i64 i = 0; i < 32; i++) tail[i] = 32 * g + i < cols ? x[i] : 0.0f;
        x = tail;
      }
      std::int8_t* q = out.q + t * out.cols + 32 * g;
      float top = Lanes::top(x);
      float scale = top / 127.0f;
      // Below 2^-119 the inverse would be infinite: such a group is zero to anything that it is added to.
      float inverse = top > 0x1p-119f ? 127.0f / top : 0.0f;
      i64 at = t * out.groups + g;
      std::int32_t sum[2];
      for (int half = 0; half < 2; half++) {
        sum[half] = Lanes::quantize(x + 16 * half, inverse, q + 16 * half);
        out.minus_sum16[2 * at + half] = -sum[half];
        out.scaled_sum16[2 * at + half] = scale * static_cast<float>(sum[half]);
      }
      out.scale[at] = scale;
      out.minus_sum[at] = -(sum[0] + sum[1]);
      out.scaled_sum[at] = scale * static_cast<float>(sum[0] + sum[1]);
    }
  }
}

}  // namespace
}  // namespace bitkerf
