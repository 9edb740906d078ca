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

#include "core/view.h"
#include "forms/scale_kind.h"

namespace bitkerf {

// What the kernels know of a matrix. Level u = value of the planes read, as an unsigned integer, shifted left by `shift`:
//   weight = scale * tensor_scale * factor * (u - offset) + (scale * tensor_scale * middle | minimum)
struct PlaneView {
  i64 units;              // of 32 columns
  i64 plane_bytes;        // of a panel: units * 128
  i64 panel_bytes, ahead_bytes;  // ahead: what is read of a panel per unit, in whole cache lines
  i64 scales_at, minima_at;  // offsets in the panel; minima_at < 0: none stored
  i64 group;              // columns per scale: 16 or a multiple of 32
  i64 span_units;         // units of 32 columns that are summed as integers: 1 when the group is 16
  bool has_minimum;       // or a middle
  bool late;              // forms/unit_sums.h
  ScaleKind scale, minimum;
  float factor;           // tensor_scale and the weight of the lowest bit read
  float middle;           // tensor_scale times the constant of a level that is no integer; 0: none
  std::int32_t offset;
  int bits, shift;        // planes that are read
  i64 cols;               // without padding
};

}  // namespace bitkerf
