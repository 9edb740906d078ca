// The integer product that every form of small integers ends in: a tile of unsigned codes that an `unpack` kernel has
// written, times integer activations. Included after lanes_*.h.
//
// Columns are summed as integers over spans: the longest runs in which neither the weights' scale nor the activations'
// changes (16 columns, or units of 32). What follows per output is in one of two orders, the same in every kernel of a
// matrix:
//   per span (the activations' group is a span)   y = fma(dot, d * scale, y); y = fma(m, scale * sum, y)
//   late (it is several spans)                    s = fma(dot, d, s); s = fma(m, sum, s); y = fma(s, scale, y) at its end
// The second costs one multiplication less per span; with one scale per token the last step is done once.
#include <algorithm>

namespace bitkerf {
namespace {

using u8 = std::uint8_t;
using F = Lanes::F;
using I = Lanes::I;
using B = Lanes::B;

template <bool kMinimum, bool kLate>
[[gnu::always_inline]] inline F add_span(F sum, I dot, F d, F m, float scale, std::int32_t minus_sum) {
  if constexpr (kLate) {
    sum = Lanes::fma(Lanes::to_float(dot), d, sum);
    if constexpr (kMinimum) sum = Lanes::fma(m, Lanes::all(-static_cast<float>(minus_sum)), sum);
  } else {
    sum = Lanes::fma(Lanes::to_float(dot), Lanes::mul(d, Lanes::all(scale)), sum);
    if constexpr (kMinimum) sum = Lanes::fma(m, Lanes::all(scale * -static_cast<float>(minus_sum)), sum);
  }
  return sum;
}

// A tile: a head of 64 bytes; 32 rows x `count` columns as [step][32 rows x 4] unsigned bytes; then d and m as
// [span][32] floats.
struct TileHead {
  std::int32_t offset;      // what a code exceeds its level by
  std::int32_t span_units;  // units of 32 columns per span (1 where spans are 16 columns)
};
constexpr i64 kTileHead = 64;
constexpr i64 tile_codes(i64 count) { return kTileHead + count * 32; }
constexpr i64 tile_spans(i64 count, int part, i64 span_units) { return part == 16 ? count / 16 : (count / 32 + span_units - 1) / span_units; }
// Writes the head and returns where the codes go.
inline u8* start_tile(void* scratch, TileHead head) {
  __builtin_memcpy(scratch, &head, sizeof head);
  return static_cast<u8*>(scratch) + kTileHead;
}

// Sum of a span's activation codes, negated.
template <int kPart>
[[gnu::always_inline]] inline std::int32_t minus_sum_of(const IntRows& x, i64 token, i64 unit, i64 units, int part) {
  if constexpr (kPart == 16) return x.minus_sum16[2 * (token * x.units + unit) + part];
  const std::int32_t* before = x.minus_before + token * (x.units + 1) + unit;
  return before[units] - before[0];
}

// kTokens tokens x 32 rows; sums stay in registers over the span. Loads per 12 dot products: 2 of codes and 6 broadcasts
// of activations. kPart: columns of a span that is shorter than a unit (16), or 32. kOneUnit: spans are one unit long,
// known to the compiler. kWide: codes of 16 bits, as a high and a low part.
template <int kTokens, int kPart, bool kMinimum, int kLevelBits, bool kLate, bool kOneUnit, bool kWide>
void tile(const void* data, i64 cols, i64 first, i64 count, const void* input, i64 tokens, i64 token,
          float* y, i64 y_stride) noexcept {
  const IntRows x = *static_cast<const IntRows*>(input);
  constexpr int kParts = 32 / kPart;
  TileHead head;
  __builtin_memcpy(&head, data, sizeof head);
  const u8* c = static_cast<const u8*>(data) + kTileHead;
  const float* d = reinterpret_cast<const float*>(static_cast<const u8*>(data) + tile_codes(count));
  const float* m = d + tile_spans(count, kPart, head.span_units) * 32;
  const std::int8_t* q = x.q + token * x.cols + first;
  const std::int8_t* low = kWide ? x.low + token * x.cols + first : nullptr;
  const i64 q_stride = x.cols;
  i64 unit = first / 32;
  const i64 end = unit + count / 32;
  i64 group = unit / x.group_units, group_end = std::min((group + 1) * x.group_units, x.units);
  const float* scale = x.scale + token * x.groups + group;
  const bool continues = kLate ? x.groups == 1 && first > 0 : first > 0;

  F sum[kTokens][2];
#pragma GCC unroll Lanes::kUnroll
  for (int t = 0; t < kTokens; t++)
#pragma GCC unroll Lanes::kUnroll
    for (int h = 0; h < 2; h++) sum[t][h] = continues ? Lanes::load(y + t * y_stride + 16 * h) : Lanes::zero();
  while (unit < end) {
    const i64 units = kOneUnit ? 1 : std::min<i64>(head.span_units, end - unit);
#pragma GCC unroll Lanes::kUnroll
    for (int part = 0; part < kParts; part++) {
      I dot[kTokens][2], high[kTokens][2];
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++) {
        dot[t][0] = dot[t][1] = Lanes::all_int(minus_sum_of<kPart>(x, token + t, unit, units, part) * head.offset);
        if constexpr (kWide) high[t][0] = high[t][1] = Lanes::all_int(0);
      }
      for (i64 u = 0; u < units; u++) {
#pragma GCC unroll Lanes::kUnroll
        for (int s = 0; s < kPart / 4; s++, c += 128) {
          B w0 = Lanes::bytes(c), w1 = Lanes::bytes(c + 64);
#pragma GCC unroll Lanes::kUnroll
          for (int t = 0; t < kTokens; t++) {
            const i64 at = t * q_stride + 32 * u + part * kPart + 4 * s;
            if constexpr (kWide) {
              dot[t][0] = Lanes::template dot<kLevelBits>(dot[t][0], w0, low + at);
              dot[t][1] = Lanes::template dot<kLevelBits>(dot[t][1], w1, low + at);
              high[t][0] = Lanes::template dot<kLevelBits>(high[t][0], w0, q + at);
              high[t][1] = Lanes::template dot<kLevelBits>(high[t][1], w1, q + at);
            } else {
              dot[t][0] = Lanes::template dot<kLevelBits>(dot[t][0], w0, q + at);
              dot[t][1] = Lanes::template dot<kLevelBits>(dot[t][1], w1, q + at);
            }
          }
        }
      }
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++) {
        std::int32_t minus = kMinimum ? minus_sum_of<kPart>(x, token + t, unit, units, part) : 0;
#pragma GCC unroll Lanes::kUnroll
        for (int h = 0; h < 2; h++) {
          if constexpr (kWide) dot[t][h] = Lanes::add(dot[t][h], Lanes::shl(high[t][h], 8));
          sum[t][h] = add_span<kMinimum, kLate>(sum[t][h], dot[t][h], Lanes::load(d + 16 * h),
                                                kMinimum ? Lanes::load(m + 16 * h) : Lanes::zero(), scale[t * x.groups], minus);
        }
      }
      d += 32;
      m += 32;
    }
    unit += units;
    q += 32 * units;
    low += kWide ? 32 * units : 0;
    if (unit == group_end) {
      if constexpr (kLate) {
#pragma GCC unroll Lanes::kUnroll
        for (int t = 0; t < kTokens; t++)
#pragma GCC unroll Lanes::kUnroll
          for (int h = 0; h < 2; h++) {
            float* out = y + t * y_stride + 16 * h;
            Lanes::store(out, Lanes::fma(sum[t][h], Lanes::all(scale[t * x.groups]), group == 0 ? Lanes::zero() : Lanes::load(out)));
            sum[t][h] = Lanes::zero();
          }
      }
      group++;
      scale++;
      group_end = std::min(group_end + x.group_units, x.units);
    }
  }
  // Late sums have been stored, but for that of a single group that goes on.
  if (kLate && (x.groups > 1 || unit == x.units)) return;
#pragma GCC unroll Lanes::kUnroll
  for (int t = 0; t < kTokens; t++)
#pragma GCC unroll Lanes::kUnroll
    for (int h = 0; h < 2; h++) Lanes::store(y + t * y_stride + 16 * h, sum[t][h]);
}

// Of kernels that take codes of up to kLevelBits bits (only AVX2 without VNNI tells 7 from 8).
template <int kPart, bool kMinimum, int kLevelBits, bool kLate, bool kOneUnit, bool kWide = false>
constexpr void set_tiles(PanelKernels& kernels) {
  constexpr int kBits = Lanes::kOneDot ? 8 : kLevelBits;
  // Wide sums take twice the registers.
  constexpr int kTokens = kWide ? (Lanes::kTokens + 1) / 2 : Lanes::kTokens;
  kernels.tile[1] = tile<1, kPart, kMinimum, kBits, kLate, kOneUnit || kPart == 16, kWide>;
  if constexpr (kTokens >= 2) kernels.tile[2] = tile<2, kPart, kMinimum, kBits, kLate, kOneUnit || kPart == 16, kWide>;
  if constexpr (kTokens >= 3) kernels.tile[3] = tile<3, kPart, kMinimum, kBits, kLate, kOneUnit || kPart == 16, kWide>;
  if constexpr (kTokens >= 4) kernels.tile[4] = tile<4, kPart, kMinimum, kBits, kLate, kOneUnit || kPart == 16, kWide>;
  if constexpr (kTokens >= 5) kernels.tile[5] = tile<5, kPart, kMinimum, kBits, kLate, kOneUnit || kPart == 16, kWide>;
  if constexpr (kTokens >= 6) kernels.tile[6] = tile<6, kPart, kMinimum, kBits, kLate, kOneUnit || kPart == 16, kWide>;
  kernels.max_tokens = kTokens;
}

}  // namespace
}  // namespace bitkerf
