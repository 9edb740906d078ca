// Halves: f16 or bf16. Bytes of a panel:
//
//   f16    [column][32 rows]
//   bf16   [pair of columns][32 rows][2 columns], the last pair filled up with zeros: a 32-bit lane is a row, so widening is
//          a shift or an AND, and VDPBF16PS reads it as it is
//
// Times float32 activations: widened as they are read, which is exact; decode streams half the bytes of floats, prefill
// widens a tile once and multiplies it with the kernels of kernels.inl. Times bf16 activations (bf16 weights only): two
// columns a step; sum = even * even + (odd * odd + sum), each a fused multiply-add. That is what VDPBF16PS gives on the
// processors that were at hand (AMD family 26: 3.2 million random sums, no difference), so the paths agree.
#include "forms/brain_rows.h"

namespace bitkerf {
namespace {

using F = Lanes::F;
using I = Lanes::I;

inline I pair_at(const std::byte* p) { return Tables::ints(Lanes::bytes(reinterpret_cast<const std::uint8_t*>(p))); }
inline F even_of(I pair) { return Lanes::bits_to_float(Lanes::shl(pair, 16)); }
inline F odd_of(I pair) { return Lanes::bits_to_float(Lanes::band(pair, static_cast<int>(0xffff0000u))); }

void f16_one(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  const auto& x = *static_cast<const Matrix<const float>*>(input);
  const auto* w = reinterpret_cast<const std::uint16_t*>(panel);
  const float* v = x.data + token * x.stride;
  F sum[2] = {Lanes::zero(), Lanes::zero()};
  for (i64 c = 0; c < cols; c++, w += 32) {
    F all = Lanes::all(v[c]);
    for (int h = 0; h < 2; h++) sum[h] = Lanes::fma(Lanes::from_half(w + 16 * h), all, sum[h]);
  }
  for (int h = 0; h < 2; h++) Lanes::store(y + 16 * h, sum[h]);
}

const void* f16_unpack(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  const auto* w = reinterpret_cast<const std::uint16_t*>(panel) + first * 32;
  auto* out = static_cast<float*>(scratch);
  for (i64 i = 0; i < count * 32; i += 16) Lanes::store(out + i, Lanes::from_half(w + i));
  return scratch;
}

void bf16_one(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  const auto& x = *static_cast<const Matrix<const float>*>(input);
  const float* v = x.data + token * x.stride;
  F sum[2] = {Lanes::zero(), Lanes::zero()};
  for (i64 c = 0; c < cols; c += 2, panel += 128) {
    F even = Lanes::all(v[c]), odd = c + 1 < cols ? Lanes::all(v[c + 1]) : Lanes::zero();
    for (int h = 0; h < 2; h++) {
      I w = pair_at(panel + 64 * h);
      sum[h] = Lanes::fma(even_of(w), even, sum[h]);
      if (c + 1 < cols) sum[h] = Lanes::fma(odd_of(w), odd, sum[h]);
    }
  }
  for (int h = 0; h < 2; h++) Lanes::store(y + 16 * h, sum[h]);
}

const void* bf16_unpack(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  auto* out = static_cast<float*>(scratch);
  panel += first * 64;
  for (i64 c = 0; c < count; c += 2, panel += 128, out += 64) {
    for (int h = 0; h < 2; h++) {
      I w = pair_at(panel + 64 * h);
      Lanes::store(out + 16 * h, even_of(w));
      if (c + 1 < count) Lanes::store(out + 32 + 16 * h, odd_of(w));
    }
  }
  return scratch;
}

// Rows of bf16 activations; sums over pairs of columns, in order.
struct ByFma {
  static F dot(F sum, I w, std::uint32_t x) {
    float even = __builtin_bit_cast(float, x << 16), odd = __builtin_bit_cast(float, x & 0xffff0000u);
    return Lanes::fma(even_of(w), Lanes::all(even), Lanes::fma(odd_of(w), Lanes::all(odd), sum));
  }
};

template <int kTokens>
void brain_tile(const void* panel, i64 cols, i64 first, i64 count, const void* input, i64 tokens, i64 token, float* y,
                i64 y_stride) noexcept {
  const BrainRows x = *static_cast<const BrainRows*>(input);
  const auto* w = static_cast<const std::byte*>(panel);
  const std::uint32_t* v = x.pairs + token * x.pairs_per_row + first / 2;
  F sum[kTokens][2];
  for (int t = 0; t < kTokens; t++)
    for (int h = 0; h < 2; h++) sum[t][h] = first == 0 ? Lanes::zero() : Lanes::load(y + t * y_stride + 16 * h);
  for (i64 c = 0; c < count / 2; c++, w += 128) {
    I w0 = pair_at(w), w1 = pair_at(w + 64);
#pragma GCC unroll Lanes::kUnroll
    for (int t = 0; t < kTokens; t++) {
      std::uint32_t pair = v[t * x.pairs_per_row + c];
      sum[t][0] = ByFma::dot(sum[t][0], w0, pair);
      sum[t][1] = ByFma::dot(sum[t][1], w1, pair);
    }
  }
  for (int t = 0; t < kTokens; t++)
    for (int h = 0; h < 2; h++) Lanes::store(y + t * y_stride + 16 * h, sum[t][h]);
}

#ifdef __AVX512F__
// As above, for processors with AVX512-BF16.
template <int kTokens>
[[gnu::target("avx512bf16")]] void brain_tile_native(const void* panel, i64 cols, i64 first, i64 count, const void* input, i64 tokens,
                                                     i64 token, float* y, i64 y_stride) noexcept {
  const BrainRows x = *static_cast<const BrainRows*>(input);
  const auto* w = static_cast<const std::byte*>(panel);
  const std::uint32_t* v = x.pairs + token * x.pairs_per_row + first / 2;
  F sum[kTokens][2];
  for (int t = 0; t < kTokens; t++)
    for (int h = 0; h < 2; h++) sum[t][h] = first == 0 ? Lanes::zero() : Lanes::load(y + t * y_stride + 16 * h);
  for (i64 c = 0; c < count / 2; c++, w += 128) {
    I w0 = pair_at(w), w1 = pair_at(w + 64);
#pragma GCC unroll Lanes::kUnroll
    for (int t = 0; t < kTokens; t++) {
      __m512i pair = _mm512_set1_epi32(static_cast<int>(v[t * x.pairs_per_row + c]));
      sum[t][0] = _mm512_dpbf16_ps(sum[t][0], (__m512bh)w0, (__m512bh)pair);
      sum[t][1] = _mm512_dpbf16_ps(sum[t][1], (__m512bh)w1, (__m512bh)pair);
    }
  }
  for (int t = 0; t < kTokens; t++)
    for (int h = 0; h < 2; h++) Lanes::store(y + t * y_stride + 16 * h, sum[t][h]);
}
#endif

using Tile = PanelKernels::Tile;
template <Tile kTile>
void brain_one(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  kTile(panel, cols, 0, round_up<i64>(cols, 2), input, tokens, token, y, 32);
}
const void* brain_in_place(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  return panel + first * 64;
}
i64 half_tile_bytes(i64 count) { return round_up<i64>(count, 2) * 32 * static_cast<i64>(sizeof(float)); }

// f16 and bf16 times f32; bf16 times bf16, by FMA and by VDPBF16PS (where there is none: by FMA).
struct HalfKernels {
  PanelKernels f16, bf16, brain, brain_native;
};
constexpr HalfKernels make_halves() {
  HalfKernels all{{"float", f16_one, f16_unpack, half_tile_bytes, {}, 1},
                  {"float", bf16_one, bf16_unpack, half_tile_bytes, {}, 1},
                  {"fma", brain_one<brain_tile<1>>, brain_in_place, no_bytes,
                   {nullptr, brain_tile<1>, brain_tile<2>, brain_tile<3>, brain_tile<4>, brain_tile<5>, brain_tile<6>, nullptr, nullptr}, 6},
                  {}};
  set_dense_tiles(all.f16);
  set_dense_tiles(all.bf16);
#ifdef __AVX512F__
  all.brain_native = {"bf16", brain_one<brain_tile_native<1>>, brain_in_place, no_bytes,
                      {nullptr, brain_tile_native<1>, brain_tile_native<2>, brain_tile_native<3>, brain_tile_native<4>,
                       brain_tile_native<5>, brain_tile_native<6>, nullptr, nullptr}, 6};
#else
  all.brain_native = all.brain;
#endif
  return all;
}

}  // namespace
}  // namespace bitkerf
