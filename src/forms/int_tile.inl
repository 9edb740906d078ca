// The int8 product that every integer form ends in: a tile of unsigned codes that an `unpack` kernel has written, times
// int8 activations. Included after lanes_*.h.
namespace bitkerf {
namespace {

using u8 = std::uint8_t;
using F = Lanes::F;
using I = Lanes::I;
using B = Lanes::B;

// One group's contribution; the same three operations, in this order, in every kernel below.
template <bool kMinimum>
[[gnu::always_inline]] inline F add_group(F y, I dot, F d, F m, float scale, float scaled_sum) {
  y = Lanes::fma(Lanes::to_float(dot), Lanes::mul(d, Lanes::all(scale)), y);
  if constexpr (kMinimum) y = Lanes::fma(m, Lanes::all(scaled_sum), y);
  return y;
}

// A tile: 32 rows x `count` columns as [step][32 rows x 4] unsigned bytes, then d and m as [group][32] floats.
// before them, 64 bytes whose first four are the offset: what a code of this format exceeds its value by.
constexpr i64 kTileHead = 64;
constexpr i64 tile_codes(i64 count) { return kTileHead + count * 32; }
// Writes the head and returns where the codes go.
inline u8* start_tile(void* scratch, std::int32_t offset) {
  __builtin_memcpy(scratch, &offset, 4);
  return static_cast<u8*>(scratch) + kTileHead;
}

// kTokens tokens x 32 rows; sums stay in registers over all `count` columns. Loads per 12 dot products: 2 of codes and
// 6 broadcasts of activations.
template <int kTokens, int kGroup, bool kMinimum, int kLevelBits>
void tile(const void* data, i64 cols, i64 first, i64 count, const void* input, i64 tokens, i64 token,
          float* y, i64 y_stride) noexcept {
  const Int8Rows x = *static_cast<const Int8Rows*>(input);
  constexpr int kPer32 = 32 / kGroup;
  std::int32_t offset;
  __builtin_memcpy(&offset, data, 4);
  const float* d = reinterpret_cast<const float*>(static_cast<const u8*>(data) + tile_codes(count));
  const u8* c = static_cast<const u8*>(data) + kTileHead;
  const float* m = d + count / kGroup * 32;
  const std::int8_t* q = x.q + token * x.cols + first;
  i64 at = token * x.groups + first / 32;
  const float* scale = x.scale + at;
  const float* scaled_sum = kPer32 == 2 ? x.scaled_sum16 + 2 * at : x.scaled_sum + at;
  const std::int32_t* minus_sum = kPer32 == 2 ? x.minus_sum16 + 2 * at : x.minus_sum + at;
  const i64 groups = x.groups, parts = groups * kPer32;

  F sum[kTokens][2];
#pragma GCC unroll Lanes::kUnroll
  for (int t = 0; t < kTokens; t++)
#pragma GCC unroll Lanes::kUnroll
    for (int h = 0; h < 2; h++) sum[t][h] = first == 0 ? Lanes::zero() : Lanes::load(y + t * y_stride + 16 * h);
  for (i64 g = 0; g < count / 32; g++, q += 32) {
#pragma GCC unroll Lanes::kUnroll
    for (int part = 0; part < kPer32; part++) {
      I dot[kTokens][2];
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++)
        dot[t][0] = dot[t][1] = Lanes::all_int(minus_sum[t * parts + g * kPer32 + part] * offset);
#pragma GCC unroll Lanes::kUnroll
      for (int s = 0; s < kGroup / 4; s++, c += 128) {
        B w0 = Lanes::bytes(c), w1 = Lanes::bytes(c + 64);
#pragma GCC unroll Lanes::kUnroll
        for (int t = 0; t < kTokens; t++) {
          const std::int8_t* v = q + t * x.cols + part * kGroup + 4 * s;
          dot[t][0] = Lanes::template dot<kLevelBits>(dot[t][0], w0, v);
          dot[t][1] = Lanes::template dot<kLevelBits>(dot[t][1], w1, v);
        }
      }
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++) {
        float s = scale[t * groups + g];
        float ss = kMinimum ? scaled_sum[t * parts + g * kPer32 + part] : 0;
        sum[t][0] = add_group<kMinimum>(sum[t][0], dot[t][0], Lanes::load(d), kMinimum ? Lanes::load(m) : Lanes::zero(), s, ss);
        sum[t][1] = add_group<kMinimum>(sum[t][1], dot[t][1], Lanes::load(d + 16),
                                        kMinimum ? Lanes::load(m + 16) : Lanes::zero(), s, ss);
      }
      d += 32;
      m += 32;
    }
  }
#pragma GCC unroll Lanes::kUnroll
  for (int t = 0; t < kTokens; t++)
#pragma GCC unroll Lanes::kUnroll
    for (int h = 0; h < 2; h++) Lanes::store(y + t * y_stride + 16 * h, sum[t][h]);
}

template <int kGroup, bool kMinimum, int kLevelBits>
constexpr void set_tiles(PanelKernels& kernels) {
  kernels.tile[1] = tile<1, kGroup, kMinimum, kLevelBits>;
  if constexpr (Lanes::kTokens >= 2) kernels.tile[2] = tile<2, kGroup, kMinimum, kLevelBits>;
  if constexpr (Lanes::kTokens >= 3) kernels.tile[3] = tile<3, kGroup, kMinimum, kLevelBits>;
  if constexpr (Lanes::kTokens >= 4) kernels.tile[4] = tile<4, kGroup, kMinimum, kLevelBits>;
  if constexpr (Lanes::kTokens >= 5) kernels.tile[5] = tile<5, kGroup, kMinimum, kLevelBits>;
  if constexpr (Lanes::kTokens >= 6) kernels.tile[6] = tile<6, kGroup, kMinimum, kLevelBits>;
}

}  // namespace
}  // namespace bitkerf
