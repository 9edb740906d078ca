// Weights as densely packed codes of 2 to 8 bits, which a byte shuffle turns into small integers for the integer product:
// any grid of at most 256 levels (formats/int8_levels.h: exactly, or rounded at less than 1 % of the grid's own error;
// grids that bytes are too coarse for, such as E4M3, get two bytes per level and two products).
//
// A panel of 32 rows; columns padded to units of 32, one unit after the other, each of two halves of 16 rows:
//
//   a half unit (bits x 64 bytes): eight steps s of 16 rows x 4 columns 4s..4s+3, byte 4 row + column % 4, as one
//   VPDPBUSD reads them. Every part of a code is a field that one shift and one AND bring to the bottom of its byte:
//
//     bits 2 .. 3   the low 2:  2 x 64 B, bits 2f..2f+1 of 64 B number n: step 4n + f
//     bits 4 .. 7   the low 4:  4 x 64 B, low nibbles step s, high nibbles step s + 4
//     then bits 6, 7            bits 4 and 5, as the low 2 above: 2 x 64 B
//     then bits 3, 5, 7         the top bit: 8 masks of 64 bits, one per step, bit = byte
//     bits 8                    8 x 64 B, step after step
//
//   scales   [group][32 rows] of the scale type, after all units
//   minima   [group][32 rows], when the format has them (f32 beside e8m0 and e4m3 scales)
//
// No width is padded, and the codes of a panel are one run of bytes for decode.
#pragma once

#include <cstdint>

#include "forms/unit_view.h"

namespace bitkerf {

// What the kernels know of a matrix: weight = scale * factor * (u - offset) + minimum; u is the code itself, or
// table[0][code], or 256 table[1][code] + table[0][code].
struct IntDotView : UnitView {
  alignas(64) std::uint8_t table[2][256];
};

}  // namespace bitkerf
