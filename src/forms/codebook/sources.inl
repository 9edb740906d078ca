// How units of codes become bytes: one decoder per kind of code. Included after lanes_*.h
// and tables_*.h.
#include "forms/codebook/codebook.h"

namespace bitkerf {
namespace {

// The codes themselves, of kBits bits.
template <int kBits>
struct PlainCodes {
  static constexpr int kLevels = kBits <= 4 ? 16 : kBits <= 6 ? 64 : 1 << kBits;  // entries of a table that is read
  [[gnu::always_inline]] static void codes(const CodebookView&, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    Lanes::template expand<kBits, 0>(panel + (2 * unit + half) * kBits * 64, 64, out);
  }
};

template <int kBits>
struct TableCodes {
  [[gnu::always_inline]] static void codes(const CodebookView& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    PlainCodes<kBits>::codes(v, panel, unit, half, out);
#pragma GCC unroll 8
    for (int s = 0; s < 8; s++) out[s] = Tables::template look_up<PlainCodes<kBits>::kLevels>(out[s], v.table[0]);
  }
};

// Every row has 16 levels of its own: the 16 tables of a half are one of 256 entries.
template <int kBits>
struct RowCodes {
  [[gnu::always_inline]] static void codes(const CodebookView& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    PlainCodes<kBits>::codes(v, panel, unit, half, out);
    const std::uint8_t* table = panel + v.levels_at + 256 * half;
#pragma GCC unroll 8
    for (int s = 0; s < 8; s++) out[s] = Tables::template look_up<256>(Tables::with_row(out[s]), table);
  }
};

template <int kBits>
struct PairCodes {
  // The four steps of one half, in `steps`: not all lanes can leave out those of the other.
  template <class L>
  [[gnu::always_inline]] static const typename L::B* expand_pairs(const std::uint8_t* planes, int half, typename L::B* steps) {
    if constexpr (requires { L::template expand_half<kBits>(planes, 64, half, steps); }) {
      L::template expand_half<kBits>(planes, 64, half, steps);
      return steps;
    } else {
      L::template expand<kBits, 0>(planes, 64, steps);
      return steps + 4 * half;
    }
  }
  [[gnu::always_inline]] static void codes(const CodebookView& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    Lanes::B pairs[8];
    const Lanes::B* own = expand_pairs<Lanes>(panel + unit * kBits * 64, half, pairs);
#pragma GCC unroll 4
    for (int s = 0; s < 4; s++) {
      Lanes::B code = own[s];
      Tables::interleave(Tables::template look_up<PlainCodes<kBits>::kLevels>(code, v.table[0]),
                         Tables::template look_up<PlainCodes<kBits>::kLevels>(code, v.table[1]), out + 2 * s);
    }
  }
};

struct PatternCodes {
  [[gnu::always_inline]] static void codes(const CodebookView& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    Tables::signed_patterns(panel + (2 * unit + half) * 128, v.patterns, v.offset, out);
  }
};

// A call through a pointer for 512 weights costs nothing, and one kernel serves all kinds.
using Decoder = void (*)(const CodebookView& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out);
constexpr Decoder kDecoders[] = {
    TableCodes<2>::codes, TableCodes<3>::codes, TableCodes<4>::codes, TableCodes<5>::codes, TableCodes<6>::codes, TableCodes<7>::codes, TableCodes<8>::codes,
    RowCodes<2>::codes,   RowCodes<3>::codes,   RowCodes<4>::codes,   PairCodes<4>::codes,  PairCodes<5>::codes,  PairCodes<6>::codes,
    PairCodes<7>::codes,  PairCodes<8>::codes,  PatternCodes::codes,
    PlainCodes<2>::codes, PlainCodes<3>::codes, PlainCodes<4>::codes, PlainCodes<5>::codes, PlainCodes<6>::codes, PlainCodes<7>::codes, PlainCodes<8>::codes};

struct AnyCodes {
  using View = CodebookView;
  [[gnu::always_inline]] static void codes(const View& v, const std::uint8_t* panel, i64 unit, int half, Lanes::B* out) {
    kDecoders[v.kind](v, panel, unit, half, out);
  }
};

}  // namespace
}  // namespace bitkerf
