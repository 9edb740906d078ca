// What calibration text tells about a model, matrix by matrix: everything that quantizers, transforms and the planner
// know of data. Gathered once (calibrate.h), kept in one file, read by all weighted methods.
//
// In a file: a GGUF container with
//   bitkerf.statistics.matrix, .input   string arrays: matrix ("blk.0.attn_k") and the name that its input is kept under
//                                       ("blk.0.attn_q"), as several matrices read one input
//   bitkerf.statistics.tokens           u64 array, by matrix
//   bitkerf.statistics.origin           string: what the statistics are of
//   bitkerf.statistics.windows          u64
// and tensors of F32:
//   INPUT.moment    (cols (cols + 1) / 2)  upper triangle of E[x x^T], row by row; or
//   INPUT.squares   (cols)                 its diagonal alone
//   INPUT.mean, INPUT.largest              (cols), may be missing
//   MATRIX.weighed  (cols (cols + 1) / 2)  as INPUT.moment, of tokens weighed for this matrix
//   MATRIX.gradient (rows)
// The file that calibration goes on from after an interruption is the same with sums in place of means.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "files/gguf.h"

namespace bitkerf {

// Of the vectors x (cols) that one or several matrices are multiplied by.
struct InputStatistics {
  i64 tokens = 0;
  OwnedMatrix<float> moment;   // (cols, cols): E[x x^T], symmetric; or (1, cols): E[x^2], when no more is known
  std::vector<float> mean;     // (cols): E[x], or empty
  std::vector<float> largest;  // (cols): max |x|, or empty

  i64 cols() const { return moment.cols(); }
  bool diagonal_only() const { return moment.rows() == 1 && moment.cols() > 1; }
  float square(i64 col) const { return diagonal_only() ? moment(0, col) : moment(col, col); }  // E[x^2]
};

struct Statistics {
  // By the matrix's name without ".weight" ("blk.0.attn_q"); q, k and v share one object. The head is "output" or, where
  // it is the embedding, "token_embd".
  std::map<std::string, std::shared_ptr<const InputStatistics>, std::less<>> inputs;
  // What rounding wants of the same inputs, by matrix: tokens and the moment alone, each token weighed by how much hangs on the
  // matrix's outputs there (measure_gradients.h). Empty until a backward pass fills it.
  std::map<std::string, std::shared_ptr<const InputStatistics>, std::less<>> weighed;
  // By matrix: E[g_r^2] for every output row r, g the gradient of the loss in the matrix's output, with labels drawn from
  // the model's own distribution. Rows in the order of the kernels. Empty until a backward pass fills it.
  std::map<std::string, std::vector<float>, std::less<>> gradient;
  std::string origin;  // model and texts, for people
  i64 windows = 0;     // of text

  // nullptr where nothing is known of the matrix; `name` without ".weight".
  const InputStatistics* input_of(std::string_view name) const;
  // The weighed ones, where there are none the plain ones.
  const InputStatistics* rounding_input_of(std::string_view name) const;
};

// Writes a temporary file and renames it.
void save_statistics(const std::string& path, const Statistics& statistics);
// A file of ours, or llama.cpp's imatrix (GGUF, or the older .dat), which knows diagonals alone. Fault::file.
Statistics load_statistics(const std::string& path);

// Parts of load_statistics(): of an opened container of either kind, and of the bytes of an old imatrix.
Statistics read_statistics(const std::string& where, const Metadata& metadata, std::span<const Tensor> tensors);
Statistics parse_old_imatrix(const std::string& where, std::span<const std::byte> bytes);

}  // namespace bitkerf
