// The tile kernels of int_tile.inl, for every order of sums (unit_sums.h).
namespace bitkerf {
namespace {

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
  const float* scaled_sum = x.scaled_sum + token * x.groups + group;
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
        // A span is a group unless the scale comes late or the span is half a unit.
        float x_sum = 0;
        if constexpr (kMinimum && !kLate && kPart == 32) x_sum = scaled_sum[t * x.groups];
        else if constexpr (kMinimum) x_sum = (kLate ? 1.0f : scale[t * x.groups]) * -static_cast<float>(minus_sum_of<kPart>(x, token + t, unit, units, part));
#pragma GCC unroll Lanes::kUnroll
        for (int h = 0; h < 2; h++) {
          if constexpr (kWide) dot[t][h] = Lanes::add(dot[t][h], Lanes::shl(high[t][h], 8));
          sum[t][h] = add_span<kMinimum, kLate>(sum[t][h], dot[t][h], Lanes::load(d + 16 * h),
                                                kMinimum ? Lanes::load(m + 16 * h) : Lanes::zero(), scale[t * x.groups], x_sum);
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
      scaled_sum++;
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

template <int kTokens, int kMost, int kPart, bool kMinimum, int kLevelBits, bool kLate, bool kOneUnit, bool kWide>
constexpr void set_tokens(TileSet& set) {
  set.tile[kTokens] = tile<kTokens, kPart, kMinimum, kLevelBits, kLate, kOneUnit, kWide>;
  if constexpr (kTokens < kMost) set_tokens<kTokens + 1, kMost, kPart, kMinimum, kLevelBits, kLate, kOneUnit, kWide>(set);
}

template <int kPart, bool kMinimum, int kLevelBits, int kSums>
constexpr TileSet tile_set() {
  constexpr bool kWide = kSums == 4, kLate = kSums >= 2, kOneUnit = kPart == 16 || kSums == 0 || kSums == 2;
  constexpr int kMost = kWide ? (Lanes::kTokens + 1) / 2 : Lanes::kTokens;  // wide sums take twice the registers
  TileSet set{};
  // Only AVX2 without VNNI tells 7 bits from 8.
  set_tokens<1, kMost, kPart, kMinimum, Lanes::kOneDot ? 8 : kLevelBits, kLate, kOneUnit, kWide>(set);
  set.max_tokens = kMost;
  return set;
}

// By [part is 16][minimum][8 bits][UnitSums::kind].
struct TileTable {
  TileSet rows[2][2][2][5];
  template <int kPart, bool kMinimum, int kLevelBits, int... kSums>
  static constexpr void fill(TileSet (&out)[5], std::integer_sequence<int, kSums...>) {
    ((out[kSums] = tile_set<kPart, kMinimum, kLevelBits, kSums>()), ...);
  }
  constexpr TileTable() : rows{} {
    using Sums = std::make_integer_sequence<int, 5>;
    fill<32, false, 7>(rows[0][0][0], Sums{});
    fill<32, false, 8>(rows[0][0][1], Sums{});
    fill<32, true, 7>(rows[0][1][0], Sums{});
    fill<32, true, 8>(rows[0][1][1], Sums{});
    fill<16, false, 7>(rows[1][0][0], Sums{});
    fill<16, false, 8>(rows[1][0][1], Sums{});
    fill<16, true, 7>(rows[1][1][0], Sums{});
    fill<16, true, 8>(rows[1][1][1], Sums{});
  }
  const TileSet& of(TileKind kind) const { return rows[kind.part == 16][kind.minimum][kind.level_bits == 8][kind.sums]; }
};

constexpr TileTable kTiles;

}  // namespace
}  // namespace bitkerf
