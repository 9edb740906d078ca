// From the fields of layout.h to unsigned bytes in registers; int_units.inl and pairs.inl have the products.
#include <utility>

namespace bitkerf {
namespace {

// Step s of a half unit at p.
template <int kBits>
[[gnu::always_inline]] inline B code_step(const u8* p, int s) {
  if constexpr (kBits == 8) return Lanes::bytes(p + 64 * s);
  if constexpr (kBits <= 3) {
    B c = Lanes::bytes_and(Lanes::bytes_shr(Lanes::bytes(p + 64 * (s / 4)), 2 * (s % 4)), 3);
    if constexpr (kBits == 3) c = Lanes::bytes_set(c, p + 128 + 8 * s, 4);
    return c;
  }
  B both = Lanes::bytes(p + 64 * (s % 4));
  B c = Lanes::bytes_and(s < 4 ? both : Lanes::bytes_shr(both, 4), 15);
  if constexpr (kBits >= 6) {
    B high = Lanes::bytes(p + 256 + 64 * (s / 4));
    int at = 2 * (s % 4);  // bits at..at+1 go to bits 4..5
    c = Lanes::bytes_or(c, Lanes::bytes_and(at < 4 ? Lanes::bytes_shl(high, 4 - at) : Lanes::bytes_shr(high, at - 4), 0x30));
  }
  if constexpr (kBits == 5) c = Lanes::bytes_set(c, p + 256 + 8 * s, 16);
  if constexpr (kBits == 7) c = Lanes::bytes_set(c, p + 384 + 8 * s, 64);
  return c;
}

template <int kBits>
struct Codes {
  using View = IntDotView;
  [[gnu::always_inline]] static void codes(const View& v, const u8* panel, i64 unit, int half, B* out) {
    const u8* p = panel + (2 * unit + half) * kBits * 64;
#pragma GCC unroll Lanes::kUnroll
    for (int s = 0; s < 8; s++) out[s] = code_step<kBits>(p, s);
  }
};

template <int kBits>
struct Table {
  using View = IntDotView;
  // Entries that are read: those of a whole shuffle.
  static constexpr int kLevels = kBits <= 4 ? 16 : 1 << kBits;
  [[gnu::always_inline]] static void codes(const View& v, const u8* panel, i64 unit, int half, B* out) {
    Codes<kBits>::codes(v, panel, unit, half, out);
#pragma GCC unroll Lanes::kUnroll
    for (int s = 0; s < 8; s++) out[s] = Tables::template look_up<kLevels>(out[s], v.table[0]);
  }
  [[gnu::always_inline]] static void pairs(const View& v, const u8* panel, i64 unit, int half, B* low, B* high) {
    Codes<kBits>::codes(v, panel, unit, half, low);
#pragma GCC unroll Lanes::kUnroll
    for (int s = 0; s < 8; s++) {
      high[s] = Tables::template look_up<kLevels>(low[s], v.table[1]);
      low[s] = Tables::template look_up<kLevels>(low[s], v.table[0]);
    }
  }
};

template <class Source, int kPart, bool kMinimum, int kSums = 0>
void fill(PanelKernels (&out)[UnitSums::kKinds][2], const char* name) {
  out[kSums][0] = units_kernels<Source, kPart, kMinimum, 7, kSums>(name);
  out[kSums][1] = units_kernels<Source, kPart, kMinimum, 8, kSums>(name);
  if constexpr (kSums + 1 < UnitSums::kKinds) fill<Source, kPart, kMinimum, kSums + 1>(out, name);
}

template <int kBits>
void fill_width(IntDotKernels& all) {
  constexpr int at = kBits - 2;
  fill<Codes<kBits>, 32, false>(all.codes[at][0][0], "unpack");
  fill<Codes<kBits>, 32, true>(all.codes[at][0][1], "unpack");
  fill<Codes<kBits>, 16, false>(all.codes[at][1][0], "unpack");
  fill<Codes<kBits>, 16, true>(all.codes[at][1][1], "unpack");
  fill<Table<kBits>, 32, false>(all.table[at][0], "shuffle");
  fill<Table<kBits>, 16, false>(all.table[at][1], "shuffle");
  all.pairs[at][0][0] = pair_kernels<Table<kBits>, 32, false>();
  all.pairs[at][0][1] = pair_kernels<Table<kBits>, 32, true>();
  all.pairs[at][1][0] = pair_kernels<Table<kBits>, 16, false>();
  all.pairs[at][1][1] = pair_kernels<Table<kBits>, 16, true>();
}

template <int... kAt>
IntDotKernels all_widths(std::integer_sequence<int, kAt...>) {
  IntDotKernels all{};
  (fill_width<kAt + 2>(all), ...);
  return all;
}

inline const IntDotKernels& int_dot_kernels() {
  static const IntDotKernels kKernels = all_widths(std::make_integer_sequence<int, 7>());
  return kKernels;
}

}  // namespace
}  // namespace bitkerf
