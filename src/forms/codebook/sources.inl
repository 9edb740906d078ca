// How units of codes become bytes: one Source per kind of code, in the order of CodebookKind. Included after lanes_*.h
// and tables_*.h.
#include "forms/codebook/codebook.h"

namespace bitkerf {
namespace {

// The codes themselves, of kBits bits.
template <int kBits>
struct PlainCodes {
  using View = CodebookView;
  static constexpr int kLevels = kBits <= 4 ? 16 : kBits <= 6 ? 64 : 1 << kBits;  // entries of a table that is read
  [[gnu::always_inline]] static void codes(const View&, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    Lanes::template expand<kBits, 0>(panel + (2 * unit + half) * kBits * 64, 64, out);
  }
};

template <int kBits>
struct TableCodes {
  using View = CodebookView;
  [[gnu::always_inline]] static void codes(const View& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    PlainCodes<kBits>::codes(v, panel, unit, half, out);
#pragma GCC unroll 8
    for (int s = 0; s < 8; s++) out[s] = Tables::template look_up<PlainCodes<kBits>::kLevels>(out[s], v.table[0]);
  }
};

// Every row has 16 levels of its own: the 16 tables of a half are one of 256 entries.
template <int kBits>
struct RowCodes {
  using View = CodebookView;
  [[gnu::always_inline]] static void codes(const View& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    PlainCodes<kBits>::codes(v, panel, unit, half, out);
    const std::uint8_t* table = panel + v.levels_at + 256 * half;
#pragma GCC unroll 8
    for (int s = 0; s < 8; s++) out[s] = Tables::template look_up<256>(Tables::with_row(out[s]), table);
  }
};

template <int kBits>
struct PairCodes {
  using View = CodebookView;
  [[gnu::always_inline]] static void codes(const View& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    Lanes::B pairs[8];
    Lanes::template expand<kBits, 0>(panel + unit * kBits * 64, 64, pairs);
#pragma GCC unroll 4
    for (int s = 0; s < 4; s++) {
      Lanes::B code = pairs[4 * half + s];
      Tables::interleave(Tables::template look_up<PlainCodes<kBits>::kLevels>(code, v.table[0]),
                         Tables::template look_up<PlainCodes<kBits>::kLevels>(code, v.table[1]), out + 2 * s);
    }
  }
};

struct PatternCodes {
  using View = CodebookView;
  [[gnu::always_inline]] static void codes(const View& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    Tables::signed_patterns(panel + (2 * unit + half) * 128, v.patterns, v.offset, out);
  }
};

}  // namespace
}  // namespace bitkerf
