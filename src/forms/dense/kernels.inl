// Float panels. Bytes of a panel: [column][32 rows] floats; one sum per output, columns in order.
namespace bitkerf {
namespace {

template <int kTokens>
void dense_tile(const void* panel, i64 cols, i64 first, i64 count, const void* input, i64 tokens, i64 token, float* y,
          i64 y_stride) noexcept {
  const auto& x = *static_cast<const Matrix<const float>*>(input);
  const float* w = static_cast<const float*>(panel);
  const float* v = x.data + token * x.stride + first;
  i64 stride = x.stride;
  Lanes::F sum[kTokens][2];
  for (int t = 0; t < kTokens; t++)
    for (int h = 0; h < 2; h++) sum[t][h] = first == 0 ? Lanes::zero() : Lanes::load(y + t * y_stride + 16 * h);
  for (i64 c = 0; c < count; c++, w += 32) {
    Lanes::F w0 = Lanes::load(w), w1 = Lanes::load(w + 16);
#pragma GCC unroll Lanes::kUnroll
    for (int t = 0; t < kTokens; t++) {
      Lanes::F all = Lanes::all(v[t * stride + c]);
      sum[t][0] = Lanes::fma(w0, all, sum[t][0]);
      sum[t][1] = Lanes::fma(w1, all, sum[t][1]);
    }
  }
  for (int t = 0; t < kTokens; t++)
    for (int h = 0; h < 2; h++) Lanes::store(y + t * y_stride + 16 * h, sum[t][h]);
}

// Decode: one token is a tile of one, over all columns.
void dense_one(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  dense_tile<1>(panel, cols, 0, cols, input, tokens, token, y, 32);
}

const void* in_place(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  return panel + first * 32 * static_cast<i64>(sizeof(float));
}
i64 no_bytes(i64) { return 0; }

// Of any kernels whose unpack() leaves [column][32 rows] floats.
constexpr void set_dense_tiles(PanelKernels& kernels) {
  kernels.tile[1] = dense_tile<1>;
  kernels.tile[2] = dense_tile<2>;
  kernels.tile[3] = dense_tile<3>;
  kernels.tile[4] = dense_tile<4>;
  kernels.tile[5] = dense_tile<5>;
  kernels.tile[6] = dense_tile<6>;
  kernels.max_tokens = 6;
}

constexpr PanelKernels make_dense() {
  PanelKernels kernels{"float", dense_one, in_place, no_bytes, {}, 1};
  set_dense_tiles(kernels);
  return kernels;
}

}  // namespace
}  // namespace bitkerf
