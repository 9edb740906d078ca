#include "compress/input_transforms.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/learn_kronecker.h"
#include "core/error.h"

namespace bitkerf {
namespace {

std::span<const float> largest_of(const InputTransformTask& task) {
  if (task.input.largest.empty())
    throw Error(Fault::usage, "this transform wants the largest size of every column of the input", "statistics made by `bitkerf calibrate`");
  return task.input.largest;
}

// Columns that were never anything else than zero stay as they are.
float factor(double size) { return size > 0 ? static_cast<float>(1 / std::clamp(size, 0x1p-60, 0x1p60)) : 1; }

// SmoothQuant: x_j / s_j and w_j s_j, s = max|x_j|^a / max|w_j|^(1-a).
std::vector<float> smooth(const InputTransformTask& task) {
  std::span<const float> x = largest_of(task);
  std::vector<float> w = largest_of_columns(task.readers()), factors;
  for (std::size_t c = 0; c < x.size(); c++)
    factors.push_back(w[c] > 0 ? factor(std::pow(x[c], task.argument) / std::pow(w[c], 1 - task.argument)) : 1);
  return factors;
}

// CrossQuant scales x_ij by t_i^a c_j^(1-a), t and c the maxima of row and column. What depends on the column goes into the
// weights, with c of calibration: then the row's own maximum takes the place of t^a, and is never larger.
std::vector<float> cross(const InputTransformTask& task) {
  std::vector<float> factors;
  for (float c : largest_of(task)) factors.push_back(factor(std::pow(c, 1 - task.argument)));
  return factors;
}

// LLM.int8(): columns that reach the threshold anywhere in the calibration text.
std::vector<float> outlier(const InputTransformTask& task) {
  std::vector<float> factors;
  for (float c : largest_of(task)) factors.push_back(c >= task.argument ? 0 : 1);
  return factors;
}

// A part of the columns, those of the largest maxima.
std::vector<float> outlier_share(const InputTransformTask& task) {
  std::span<const float> x = largest_of(task);
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
  std::vector<float> factors(x.size(), 1.0f);
  for (std::size_t i = 0; i < static_cast<std::size_t>(task.argument * static_cast<double>(x.size())); i++) factors[order[i]] = 0;
  return factors;
}

// FlatQuant: P1, P2 and factors of columns of least error of the outputs after rounding.
std::vector<float> kron(const InputTransformTask& task) {
  std::vector<OwnedMatrix<float>> readers = task.readers();
  OwnedMatrix<float> x = task.samples();
  i64 rows = 0, first = 0;
  for (const OwnedMatrix<float>& m : readers) rows += m.rows();
  OwnedMatrix<float> w(rows, x.cols());
  for (const OwnedMatrix<float>& m : readers)
    for (i64 r = 0; r < m.rows(); r++) std::copy_n(m.view().row(r), x.cols(), w.view().row(first++));
  return learn_kronecker(x.view(), w.view(), {.bits = static_cast<int>(task.argument)}, task.threads);
}

constexpr InputTransform kInputTransforms[] = {
    {"hadamard", "random signs, then a Hadamard matrix over all columns: spreads outliers of weights and inputs", "hadamard"},
    {"kron", "learned matrices on both sides of the input as a matrix, for inputs and weights of so many bits (FlatQuant)", "kronecker", 4, 2, 8, kron},
    {"smooth", "columns divided by max|x|^a / max|w|^(1-a) (SmoothQuant); free where a norm's gain takes it", "diagonal", 0.5, 0, 1, smooth},
    {"cross", "columns divided by max|x|^(1-a) (CrossQuant); 1: nothing; free where a norm's gain takes it", "diagonal", 0.15, 0, 1, cross},
    {"outlier", "columns whose max|x| reaches the threshold are multiplied in 16 bits, beside the others (LLM.int8())", "diagonal", 6, 0, 1e30, outlier, true},
    {"outlier-share", "the same of a part of every input's columns, those of the largest max|x|", "diagonal", 0.01, 0, 1, outlier_share, true},
};

}  // namespace

std::span<const InputTransform> input_transforms() { return kInputTransforms; }

const InputTransform& input_transform(std::string_view name) {
  std::string known;
  for (const InputTransform& row : kInputTransforms) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(Fault::usage, "unknown transform '{}': expected one of {}", name, known);
}

std::vector<float> largest_of_columns(std::span<const OwnedMatrix<float>> matrices) {
  std::vector<float> largest;
  for (const OwnedMatrix<float>& m : matrices) {
    largest.resize(static_cast<std::size_t>(m.cols()));
    for (i64 r = 0; r < m.rows(); r++)
      for (i64 c = 0; c < m.cols(); c++) largest[static_cast<std::size_t>(c)] = std::max(largest[static_cast<std::size_t>(c)], std::fabs(m.view()(r, c)));
  }
  return largest;
}

}  // namespace bitkerf
