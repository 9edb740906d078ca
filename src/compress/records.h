// What was done to each matrix of a file, and which papers' methods that is, in the words of the survey (Gholami et al.
// 2021): {transform, quantizer (range and rounding), number format, form, activations}. A file keeps the recipe of each
// of its matrices, so the same recipe can be followed again.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "files/model_file.h"
#include "formats/number_format.h"

namespace bitkerf {

struct TensorRecord {
  std::string matrix;       // "blk.0.attn_q"; of a part the rows too: "token_embd[0:2048]"
  std::string recipe;       // as a recipe's line has it, with parameters as they were asked for (a=auto)
  std::string transform, quantizer, format, form, input;
  bool integer_only;        // the products of the kernel that runs here are of integers; otherwise simulated in floats
};

// Of the packed matrices of a file of ours, in its order; empty when there are none.
// Fault::file where the file does not say.
std::vector<TensorRecord> tensor_records(const ModelFile& file);
// The recipe, a line a matrix, that makes the file again from its source.
std::string recipe_of(const ModelFile& file);

// A published method as a recipe here; what of it is missing, if anything.
struct PaperRow {
  std::string_view paper;
  std::string_view recipe;   // its nearest QUANTIZER/FORMAT; empty: nothing of it can be said yet
  std::string_view missing;  // the axis that no recipe has
};
std::span<const PaperRow> papers();

// The survey's axes of a format.
std::string_view grid_axis(const NumberFormat& format);         // "uniform", "non-uniform", "vector"
std::string_view range_axis(const NumberFormat& format);        // "symmetric", "asymmetric"
std::string granularity_axis(const NumberFormat& format);       // "group 64", "row", "tensor", "block 32x128"
std::string_view levels_axis(const FormatRow& row);             // "fixed", "searched", "learned"

}  // namespace bitkerf
