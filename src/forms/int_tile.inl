// The integer product that every form of small integers ends in: a tile of unsigned codes that an `unpack` kernel has
// written, times integer activations (int_tiles.inl). What the kernels of forms share with it. Included after lanes_*.h.
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

// x_sum: of the span's activations; as codes where the scale comes late.
template <bool kMinimum, bool kLate>
[[gnu::always_inline]] inline F add_span(F sum, I dot, F d, F m, float scale, float x_sum) {
  sum = Lanes::fma(Lanes::to_float(dot), kLate ? d : Lanes::mul(d, Lanes::all(scale)), sum);
  return kMinimum ? Lanes::fma(m, Lanes::all(x_sum), sum) : sum;
}

// A tile: a head of 64 bytes; 32 rows x `count` columns as [step][32 rows x 4] unsigned bytes; then d and m as
// [span][32] floats.
struct TileHead {
  std::int32_t offset;      // what a code exceeds its level by
  std::int32_t span_units;  // units of 32 columns per span (1 where spans are 16 columns)
};
// How far ahead of a decode kernel its codes are asked for, in bytes: some 100 ns at 40 GB/s, a tenth of the first cache.
constexpr i64 kAhead = 4096;
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

// Tiles are compiled once per instruction set (int_tiles_*.cc), for all forms.
template <int kPart, bool kMinimum, int kLevelBits, int kSums>
inline void set_tiles(PanelKernels& kernels) {
  const TileSet& set = Lanes::tiles({kPart, kMinimum, kLevelBits, kSums});
  std::copy(std::begin(set.tile), std::end(set.tile), kernels.tile);
  kernels.max_tokens = set.max_tokens;
}

}  // namespace
}  // namespace bitkerf
