// What is to be done with each matrix of a model: text that a person can read, edit and diff (docs/formats.md).
//
//   # comment
//   *                = rtn/int4.g64 | bit_planes
//   token_embd       = rtn/int8.g64 | bit_planes | int8.g32
//   blk.*.ffn_down   = hadamard | rtn/int3.g64 | bit_planes | int8.row
//   output[0:2048]   = rtn/int6.g64
//   output[2048:]    = rtn/int3.g64
//   blk.*.attn_v     = keep
//   blk.*.attn_k     = cross(0.15) | rtn/int8.row
//   blk.*.ffn_gate[0:9,12,40:] = rtn/int8.g64
//
// A line a pattern ('*' stands for any characters, '?' for one), lines divided by newlines or ';'. The last line that
// matches a matrix's name (without ".weight") counts; a matrix that none matches is kept as it is. A pattern may end in
// ranges of rows [FIRST:END,ROW,...], numbers left out for the matrix's first or last row: when the last line that matches has
// some, the ranges of all such lines since the last one without count, and every row must be in exactly one. A line's rows
// are one part, however far apart they lie.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compress/input_transforms.h"
#include "compress/quantizers/task.h"
#include "formats/number_format.h"
#include "forms/encoding.h"

namespace bitkerf {

struct QuantizerRow {
  std::string_view name;
  std::string_view about;
  // The result's format is final: parameters that were left to the quantizer are chosen.
  Quantized (*run)(const QuantizeTask& task);
  std::string_view range = "", rounding = "nearest", paper = "";  // axes of the survey, see records.h
};
std::span<const QuantizerRow> quantizers();

struct Recipe {
  bool keep = true;                 // leave the matrix as it is
  const InputTransform* rule = nullptr;     // of the input; nullptr: none
  double argument = 0;                      // of the rule
  const TransformRow* transform = nullptr;  // that the rule chooses parameters of
  const QuantizerRow* quantizer = nullptr;
  std::string format;               // canonical name of a number format
  std::string form;                 // given or the first that holds the format
  std::string input;                // encoding of activations (forms/encoding.h), the transform's name before it; given, or
                                    // the form's usual one, of transformed rows int8.row where the form takes it

  std::string text() const;         // as a line of a recipe has it, nothing left out
};

// Rows [first, end) of a matrix.
struct RowRange {
  i64 first, end;
};
// Ranges in ascending order.
struct RecipeSegment {
  std::vector<RowRange> rows;
  const Recipe* recipe;
};

class RecipeBook {
 public:
  // Fault::usage naming line, text and what was expected.
  explicit RecipeBook(std::string_view text);
  // What is done to a matrix of this many rows, in the order of its rows. Fault::usage when the ranges of its lines overlap
  // or leave rows out.
  std::vector<RecipeSegment> of(std::string_view matrix, i64 rows) const;
  // The last line without a range that matches.
  const Recipe& of(std::string_view matrix) const;

 private:
  static constexpr i64 kLastRow = -1;
  struct Line {
    std::string pattern;
    std::vector<RowRange> ranges;  // end kLastRow: to the last row; empty: the whole matrix
    std::string text;
    Recipe recipe;
    bool matches(const std::string& matrix) const;
  };
  static Line parse_line(std::string_view line);
  std::vector<Line> lines_;
  Recipe keep_;
};

}  // namespace bitkerf
