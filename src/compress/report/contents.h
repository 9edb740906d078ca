// What a model file spends its bytes on, matrix by matrix, for reports; and what the planner thinks of that.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compress/plan/plan.h"
#include "compress/report/pictures.h"
#include "files/model_file.h"

namespace bitkerf {

// A matrix, or some of its rows that are packed by themselves.
struct MatrixPart {
  std::string matrix;  // "blk.0.attn_q"
  i64 first = 0, rows = 0, total = 0;
  i64 weights = 0, bytes = 0;
  std::string recipe;  // what made it; of a tensor that is stored as other programs store it: its type
  bool packed = true;  // in a form of ours; in a file of ours, what is not is as the source has it
};
// Of every tensor of two dimensions and more, in the file's order.
std::vector<MatrixPart> matrix_parts(const ModelFile& file);

// "blk.3.attn_q" is the matrix attn_q of layer blk.3; what is in no layer is in "model".
struct MatrixName {
  std::string layer, kind;
};
MatrixName split_name(const std::string& matrix);

struct KindRow {
  std::string kind;
  i64 matrices = 0, weights = 0, bytes = 0;
};
// Bytes by kind of matrix, most first; then "vectors" and "header, tokenizer" (with padding), so that the sum is the
// file.
std::vector<KindRow> bytes_by_kind(const ModelFile& file);

// Layers x kinds of matrix, and of every matrix that lies in parts, parts in a column.
std::vector<BitCell> cells_of_matrices(const std::vector<MatrixPart>& parts);
std::vector<BitCell> cells_of_segments(const std::vector<MatrixPart>& parts);

// The predicted divergence of a file: what is predicted for the sum over the problem's layers of the candidate that made this part of it.
// Nothing for other programs' files, and when a layer's recipe is none of its candidates.
std::optional<double> predicted_divergence(const PlanProblem& problem, const std::vector<MatrixPart>& parts);

}  // namespace bitkerf
