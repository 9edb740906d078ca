// What is to be done with each matrix of a model: text that a person can read, edit and diff (docs/formats.md).
//
//   # comment
//   *                = rtn/int4.g64 | bit_planes
//   token_embd       = rtn/int8.g64 | bit_planes | int8.g32
//   blk.*.attn_v     = keep
//
// A line a pattern ('*' stands for any characters, '?' for one), lines divided by newlines or ';'. The last line that
// matches a matrix's name (without ".weight") counts; a matrix that none matches is kept as it is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/threads.h"
#include "formats/number_format.h"

namespace bitkerf {

struct QuantizerRow {
  std::string_view name;
  std::string_view about;
  // The result's format is final: parameters that were left to the quantizer are chosen.
  Quantized (*run)(Matrix<const float> weights, const NumberFormat& format, Threads& threads);
  std::string_view range = "", rounding = "nearest", paper = "";  // axes of the survey, see records.h
};
std::span<const QuantizerRow> quantizers();

struct Recipe {
  bool keep = true;                 // leave the matrix as it is
  const QuantizerRow* quantizer = nullptr;
  std::string format;               // canonical name of a number format
  std::string form;                 // given or the first that holds the format
  std::string input;                // encoding of activations (forms/encoding.h); given or the form's usual one

  std::string text() const;         // as a line of a recipe has it, nothing left out
};

class RecipeBook {
 public:
  // Fault::usage naming line, text and what was expected.
  explicit RecipeBook(std::string_view text);
  const Recipe& of(std::string_view matrix) const;

 private:
  struct Line {
    std::string pattern;
    Recipe recipe;
  };
  std::vector<Line> lines_;
  Recipe keep_;
};

}  // namespace bitkerf
