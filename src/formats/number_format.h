// Number formats: a grid of values, a group size, a scale type, and whether a minimum is added. One line each in
// list.cc; nothing else in the program knows their names. The grammar is docs/formats.md:
//
//   int4            the row's own group and scale
//   int4.g64        groups of 64 weights (along a row; the last group of a row may be shorter)
//   int4.b32x128    blocks of 32 rows and 128 columns share a scale
//   int3.row        one group per row; int3.tensor: one for all rows
//   int4.f16.g128   scale type f32, f16, bf16, e8m0, e4m3 or u8 (multiples of a float16 per row)
//   uint4.g32       unsigned grids have a minimum: w = scale * code + minimum
//   pow4:a=0.83     a grid with a parameter; a=auto lets the quantizer choose it for each matrix
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
  bool tensor_scale = false;  // its range is small, so a float32 per tensor multiplies it (NVFP4)
  // What is kept is a multiple of a float16 per row: the three functions above are of that multiple.
  bool of_row = false;
};
std::span<const ScaleType> scale_types();
const ScaleType& scale_type(std::string_view name);  // unknown names answer with the known ones (Fault::usage)

inline constexpr i64 kWholeRow = 0;
inline constexpr i64 kWholeTensor = i64{1} << 40;  // rows

// What minima are kept as beside such scales: they may be negative and of any size, so beside a scale of one byte it is
// f32, or beside multiples of a float16 per row signed multiples of another one (no row of scale_types()).
const ScaleType& minimum_type(const ScaleType& scale);

struct NumberFormat {
  std::string name;          // canonical: "int4.f16.g64"; says everything, learned tables included
  Grid grid;
  i64 group;                 // weights per scale along a row; kWholeRow: one per row. A multiple of grid.dimension()
  const ScaleType* scale;
  bool has_minimum;
  i64 group_rows = 1;        // rows that share their scales (and minima)
  // "a" where the quantizer is still to choose the parameter (a=auto); empty when the grid is final. A Quantized's is.
  std::string_view open_parameter = {};
  bool row_tables = false;   // every row has its own levels (Quantized::tables), grid only says how many

  i64 groups(i64 cols) const { return group == kWholeRow ? 1 : ceil_div(cols, group); }
  i64 group_of(i64 col) const { return group == kWholeRow ? 0 : col / group; }
  // Bits of codes, scales, minima and tables, for rows of this many weights; scales of blocks counted once per block.
  double bits_per_weight(i64 cols) const;
  // The name, cut where a learned table makes it long: for people.
  std::string label() const;
};

// One row per format: its axes in the words of the survey (Gholami et al. 2021).
struct FormatRow {
  std::string_view name;
  Grid (*grid)();
  i64 group;
  std::string_view scale;
  bool has_minimum;
  std::string_view about;
  // A grid with a parameter: its name, the value when none is given ("auto": the quantizer chooses), and the grid of
  // a value (Fault::usage when it is none). grid() is then what stands for "auto".
  std::string_view parameter = {}, value = {};
  Grid (*grid_of)(std::string_view value) = nullptr;
  bool row_tables = false;
};
std::span<const FormatRow> number_formats();
const FormatRow& format_row(const NumberFormat& format);
// Parses "int3.g64"; unknown parts answer with the known ones (Fault::usage).
NumberFormat parse_number_format(std::string_view spec);
// The format with its open parameter set ("0.83").
NumberFormat with_parameter(const NumberFormat& format, std::string_view value);

// What quantizers make and forms pack:
//   weight(r, c) = tensor_scale * scales(r, g) * grid.value(codes(r, c)) + minima(r, g)
// In general a code stands for grid.dimension() weights of a row (the last one's surplus weights do not count), and
// its level comes from tables where the format has row_tables. Rows that share scales hold equal ones.
struct Quantized {
  NumberFormat format;
  OwnedMatrix<std::uint16_t> codes;  // (rows, cols / dimension, rounded up)
  OwnedMatrix<float> scales;         // (rows, groups), values of the scale type
  OwnedMatrix<float> minima;         // (rows, groups) or empty
  float tensor_scale = 1;
  OwnedMatrix<float> tables = {};    // (rows, levels) integers from -127 to 127, or empty
  i64 cols = 0;                      // 0: as many as codes has columns
  OwnedMatrix<float> row_scales = {};  // (rows, 1 or 2) float16 values that scales and minima are multiples of, or empty

  // Everything zero, of the shapes that the format wants.
  static Quantized zeros(const NumberFormat& format, Shape shape);

  // Makes values of the scale type of a row's scales and minima, whatever they are, and chooses its row_scales: the least
  // that keep the largest. The middle of a group's range moves as little as it can.
  void round_scales(i64 row);

  Shape shape() const { return {codes.rows(), cols > 0 ? cols : codes.cols()}; }
  float level(i64 r, i64 c) const {
    int dimension = format.grid.dimension();
    if (dimension > 1) return format.grid.value(codes(r, c / dimension), static_cast<int>(c % dimension));
    return format.row_tables ? tables(r, codes(r, c)) : format.grid.value(codes(r, c));
  }
  float weight(i64 r, i64 c) const {
    i64 g = format.group_of(c);
    float w = scales(r, g) * tensor_scale * level(r, c);
    return format.has_minimum ? w + minima(r, g) : w;
  }
};

}  // namespace bitkerf
