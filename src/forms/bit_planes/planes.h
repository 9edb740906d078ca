// Weights as planes of bits: one layout for every integer width from 1 to 8, whose top planes alone are a coarser model
// (Matryoshka; bipolar codes as in APT-LLM, so that no rounding carry is needed).
//
// A panel of 32 rows, K columns padded to units of 32:
//
//   plane 0 (most significant)   unit 0: half 0: 64 B, half 1: 64 B;  unit 1: ...
//   plane 1                      the same
//   ...                          so the first R planes are one run of bytes: reading R bits costs R / bits of the bytes
//   scales                       [group][32 rows] of the scale type
//   minima                       [group][32 rows], when the format has them (f32 beside e8m0 and e4m3 scales)
//
// 64 B of a plane are 16 rows x 32 columns: row r has bytes 4r..4r+3, bit i of byte b is column 8b + i. A 32-bit lane is
// thus one row: AND with a broadcast word and VPOPCNTD count a binary product (rows in lanes, no horizontal sum); and
// GF2P8AFFINEQB turns the bytes of eight planes into eight codes.
#pragma once

#include <cstdint>

#include "forms/unit_view.h"

namespace bitkerf {

// What the kernels know of a matrix. Level u = value of the planes read, as an unsigned integer, shifted left by `shift`:
//   weight = scale * tensor_scale * factor * (u - offset) + (scale * tensor_scale * middle | minimum)
struct PlaneView : UnitView {
  i64 plane_bytes;  // of a panel: units * 128
  int bits, shift;  // planes that are read
  i64 cols;         // without padding
};

}  // namespace bitkerf
