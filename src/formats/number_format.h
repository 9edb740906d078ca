// Number formats: a grid of values, a group size, a scale type, and whether a minimum is added. One line each in
// list.cc; nothing else in the program knows their names. The grammar is docs/formats.md:
//
//   int4            the row's own group and scale
//   int4.g64        groups of 64 weights (along a row; the last group of a row may be shorter)
//   int3.row        one group per row
//   int4.f16.g128   scale type f32, f16, bf16, e8m0 or e4m3
//   uint4.g32       unsigned grids have a minimum: w = scale * code + minimum
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/buffer.h"
#include "formats/grid.h"

namespace bitkerf {

// How a scale is kept.
struct ScaleType {
  std::string_view name;
  int bytes;
  float (*round)(float) noexcept;                  // nearest value of the type (e8m0: the power of two above)
  void (*store)(float, std::byte*) noexcept;       // of a value that round() returned
  float (*load)(const std::byte*) noexcept;
  bool tensor_scale;  // its range is small, so a float32 per tensor multiplies it (NVFP4)
};
std::span<const ScaleType> scale_types();
const ScaleType& scale_type(std::string_view name);  // unknown names answer with the known ones (Fault::usage)

inline constexpr i64 kWholeRow = 0;

struct NumberFormat {
  std::string name;          // canonical: "int4.f16.g64"
  Grid grid;
  i64 group;                 // weights per scale along a row; kWholeRow: one per row
  const ScaleType* scale;
  bool has_minimum;

  i64 groups(i64 cols) const { return group == kWholeRow ? 1 : ceil_div(cols, group); }
  i64 group_of(i64 col) const { return group == kWholeRow ? 0 : col / group; }
  // Scales and minima included, for rows of this many weights.
  double bits_per_weight(i64 cols) const {
    return grid.bits() + static_cast<double>(groups(cols) * scale->bytes * 8 * (has_minimum ? 2 : 1)) / static_cast<double>(cols);
  }
};

// One row per format: its axes in the words of the survey (Gholami et al. 2021).
struct FormatRow {
  std::string_view name;
  Grid (*grid)();
  i64 group;
  std::string_view scale;
  bool has_minimum;
  std::string_view about;
};
std::span<const FormatRow> number_formats();
// Parses "int3.g64"; unknown parts answer with the known ones (Fault::usage).
NumberFormat parse_number_format(std::string_view spec);

// What quantizers make and forms pack: weight(r, c) = tensor_scale * scales(r, g) * grid.value(codes(r, c)) + minima(r, g).
struct Quantized {
  NumberFormat format;
  OwnedMatrix<std::uint16_t> codes;  // (rows, cols)
  OwnedMatrix<float> scales;         // (rows, groups), values of the scale type
  OwnedMatrix<float> minima;         // (rows, groups) or empty
  float tensor_scale = 1;

  Shape shape() const { return {codes.rows(), codes.cols()}; }
  float weight(i64 r, i64 c) const {
    i64 g = format.group_of(c);
    float w = scales(r, g) * tensor_scale * format.grid.value(codes(r, c));
    return format.has_minimum ? w + minima(r, g) : w;
  }
};

}  // namespace bitkerf
