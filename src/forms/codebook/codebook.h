// Codes of a fixed size, each standing for 1, 2 or 8 weights that a table gives: every grid of at most 256 levels, pairs
// by 4 to 8 bits, and patterns with signs (E8P). Decoding ends in bytes for the int8 product (forms/int_tile.inl)
// where the levels are small integers, or may be rounded to such at less than 1 % of the error (formats/int8_levels.h),
// and in floats otherwise.
//
// A panel of 32 rows; columns padded to units of 32, one unit after the other:
//
//   1 weight per code    unit: half 0: plane 0 (most significant bit), plane 1, ...: 64 B each; half 1: the same
//                        64 B are 16 rows x 32 columns as in bit_planes/planes.h
//   2 weights per code   unit: plane 0, plane 1, ...: 64 B each. A 32-bit lane holds 16 codes of row r in its low half
//                        and 16 of row 16 + r in its high half
//   8 weights per code   unit: half 0: pattern bytes [4 codes][16 rows]: 64 B, sign bytes [4 codes][16 rows]: 64 B; half 1
//   then                 scales [group][32 rows] of the scale type
//                        minima [group][32 rows], when the format has them (f32 beside e8m0 and e4m3 scales)
//                        levels [32 rows][16] as bytes, when each row has its own (integer + 127)
//
// Planes of bits keep any width at its size, and one GF2P8AFFINEQB turns eight of them into bytes; unlike in
// bit_planes, the planes of a unit lie together, for no one reads only some of them.
#pragma once

#include <cstdint>

#include "forms/unit_view.h"

namespace bitkerf {

// Kinds of codes, in the order of kDecoders in sources.inl: tables of 2 to 8 bits, tables of each row of 2 to 4 bits,
// pairs of 4 to 8 bits, patterns; codes of 2 to 8 bits as they are, for levels that are floats.
struct CodebookKind {
  static constexpr int kTable = 0, kRows = 7, kPairs = 10, kPatterns = 15, kPlain = 16;
};

// What the kernels know of a matrix: weight = scale * factor * (byte - offset) + minimum, or, of levels that are no small
// integers, scale * factor * level.
struct CodebookView : UnitView {
  int kind;       // CodebookKind
  i64 levels_at;  // of each row's own levels
  // [weight of the code][code] bytes: integer + offset; 256 each. Of floats: bits 31..24, 23..16 and 15..8.
  alignas(64) std::uint8_t table[3][256];
  alignas(64) std::uint64_t patterns[256];  // of 8 weights: signed bytes, 4 x absolute values, see lattice.h
  // The same by halves of bytes: [k][pattern] weights 2 k and 2 k + 1, each which of 2, 6, 10 (bits 0 and 1) and whether
  // negative (bit 2); bit 3 is free for which way all weights move. What such a number stands for: offset + weight.
  alignas(64) std::uint8_t nibbles[4][256];
  alignas(64) std::uint8_t moved[64];
};

}  // namespace bitkerf
