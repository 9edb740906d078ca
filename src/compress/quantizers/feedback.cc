#include "compress/quantizers/feedback.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

namespace bitkerf {
namespace {

// Rows of one task: their errors of 1536 columns take 590 KB. A number of the matrix alone, so results do not depend on
// the threads.
constexpr i64 kRows = 48;
// Columns between two products with the errors before them.
constexpr i64 kBlock = 32;

class Task {
 public:
  Task(Matrix<const float> weights, const HessianFactor& factor, FeedbackResult& result, bool want_targets)
      : w_(weights), f_(factor), out_(result), q_(result.quantized), grid_(q_.format.grid), targets_(want_targets), cols_(weights.cols),
        dimension_(grid_.dimension()), target_(kBlock, kRows), error_(weights.cols, kRows) {}

  void run(i64 first_row, i64 rows) {
    first_ = first_row, rows_ = rows;
    i64 step = std::max<i64>(1, kBlock / dimension_) * dimension_;
    if (step > target_.rows()) target_ = OwnedMatrix<double>(step, kRows);
    double* damped = out_.row_damped.data() + first_;
    std::fill_n(damped, rows, 0.0);
    // Blocks of columns from the back; the first one in memory may be short, so that codes stay whole.
    i64 last_start = (cols_ - 1) / step * step;
    for (i64 first = last_start; first >= 0; first -= step) block(first, std::min(step, cols_ - first));
    finish();
  }

 private:
  void block(i64 first, i64 count) {
    i64 after = first + count;
    for (i64 k = 0; k < count; k++) {
      i64 c = f_.order[static_cast<std::size_t>(first + k)];
      double* t = target_.view().row(k);
      for (i64 r = 0; r < rows_; r++) t[r] = w_(first_ + r, c);
      std::fill(t + rows_, t + kRows, 0.0);
    }
    if (after < cols_) {
      cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<blasint>(count), kRows, static_cast<blasint>(cols_ - after), 1,
                  f_.lower.view().row(after) + first, static_cast<blasint>(cols_), error_.view().row(after), kRows, 1, target_.view().data, kRows);
    }
    i64 last = (count - 1) / dimension_ * dimension_;
    for (i64 k = last; k >= 0; k -= dimension_) {
      i64 width = std::min<i64>(dimension_, count - k);
      for (i64 i = 0; i < width; i++) {
        double* t = target_.view().row(k + i);
        for (i64 j = k + width; j < count; j++) {
          double l = f_.lower(first + j, first + k + i);
          const double* e = error_.view().row(first + j);
          for (i64 r = 0; r < kRows; r++) t[r] += l * e[r];
        }
        if (targets_) {
          i64 c = f_.order[static_cast<std::size_t>(first + k + i)];
          for (i64 r = 0; r < rows_; r++) out_.targets[static_cast<std::size_t>((first_ + r) * cols_ + c)] = static_cast<float>(t[r]);
        }
      }
      if (dimension_ > 1) points(first + k, k, width);
      else if (grid_.is_affine() && !q_.format.row_tables) integers(first + k, k);
      else levels(first + k, k);
    }
  }

  float scale_of(i64 row, i64 group) const { return q_.scales(row, group) * q_.tensor_scale; }
  float minimum_of(i64 row, i64 group) const { return q_.format.has_minimum ? q_.minima(row, group) : 0.0f; }

  void integers(i64 position, i64 k) {
    i64 c = f_.order[static_cast<std::size_t>(position)], g = q_.format.group_of(c);
    const double *t = target_.view().row(k), d = f_.diagonal(position, 0);
    double *e = error_.view().row(position), *damped = out_.row_damped.data() + first_, *bound = out_.row_bound.data() + first_;
    i64* clipped = out_.row_clipped.data() + first_;
    const double start = grid_.first(), step = grid_.step(), top = grid_.levels() - 1, magic = 6755399441055744.0;  // 1.5 * 2^52: rounds
    for (i64 r = 0; r < rows_; r++) {
      float scale = scale_of(first_ + r, g), minimum = minimum_of(first_ + r, g);
      double place = scale > 0 ? ((t[r] - minimum) / scale - start) / step : -start / step;
      double code = std::clamp((place + magic) - magic, 0.0, top);
      if (place > top + 0.5 || place < -0.5) clipped[r]++;
      float value = scale * static_cast<float>(start + step * code);
      if (q_.format.has_minimum) value += minimum;
      q_.codes(first_ + r, c) = static_cast<std::uint16_t>(code);
      double rest = t[r] - value, half = step * scale / 2;
      e[r] = w_(first_ + r, c) - double{value};
      damped[r] += d * rest * rest;
      bound[r] += d * half * half;
    }
  }

  void levels(i64 position, i64 k) {
    i64 c = f_.order[static_cast<std::size_t>(position)], g = q_.format.group_of(c);
    const double *t = target_.view().row(k), d = f_.diagonal(position, 0);
    double *e = error_.view().row(position), *damped = out_.row_damped.data() + first_;
    for (i64 r = 0; r < rows_; r++) {
      i64 row = first_ + r;
      float scale = scale_of(row, g), minimum = minimum_of(row, g);
      float place = scale > 0 ? static_cast<float>((t[r] - minimum) / scale) : 0;
      int code = 0;
      if (q_.format.row_tables) {
        for (int i = 1; i < grid_.levels(); i++)
          if (std::fabs(q_.tables(row, i) - place) < std::fabs(q_.tables(row, code) - place)) code = i;
      } else {
        code = grid_.nearest(place);
      }
      if (place > grid_.highest() || place < grid_.lowest()) out_.row_clipped[static_cast<std::size_t>(row)]++;
      q_.codes(row, c) = static_cast<std::uint16_t>(code);
      double value = q_.weight(row, c), rest = t[r] - value;
      e[r] = w_(row, c) - value;
      damped[r] += d * rest * rest;
    }
  }

  void points(i64 position, i64 k, i64 width) {
    i64 c = f_.order[static_cast<std::size_t>(position)], g = q_.format.group_of(c);
    for (i64 r = 0; r < rows_; r++) {
      i64 row = first_ + r;
      float scale = scale_of(row, g), point[8] = {};
      double rest[8];
      for (i64 i = 0; i < width; i++) point[i] = scale > 0 ? static_cast<float>(target_(k + i, r) / scale) : 0;
      q_.codes(row, c / dimension_) = static_cast<std::uint16_t>(grid_.nearest(point));
      for (i64 i = 0; i < width; i++) {
        double value = q_.weight(row, c + i);
        error_(position + i, r) = w_(row, c + i) - value;
        rest[i] = target_(k + i, r) - value;
      }
      double sum = 0;
      for (i64 i = 0; i < width; i++)
        for (i64 j = 0; j < width; j++) sum += rest[i] * f_.diagonal(position + i, j) * rest[j];
      out_.row_damped[static_cast<std::size_t>(row)] += sum;
    }
  }

  void finish() {
    std::vector<double> squares(static_cast<std::size_t>(rows_), 0.0);
    for (i64 k = 0; k < cols_; k++)
      for (i64 r = 0; r < rows_; r++) squares[static_cast<std::size_t>(r)] += error_(k, r) * error_(k, r);
    for (i64 r = 0; r < rows_; r++) {
      auto row = static_cast<std::size_t>(first_ + r);
      out_.row_error[row] = std::max(0.0, out_.row_damped[row] - f_.damping * squares[static_cast<std::size_t>(r)]);
    }
  }

  Matrix<const float> w_;
  const HessianFactor& f_;
  FeedbackResult& out_;
  Quantized& q_;
  const Grid& grid_;
  bool targets_;
  i64 cols_, dimension_, first_ = 0, rows_ = 0;
  OwnedMatrix<double> target_, error_;  // (columns of the block, rows); (cols, rows) w - v by position
};

OwnedMatrix<float> copy(const OwnedMatrix<float>& m) {
  OwnedMatrix<float> c(m.rows(), m.cols());
  std::copy_n(m.view().data, m.rows() * m.cols(), c.view().data);
  return c;
}

}  // namespace

FeedbackResult round_with_feedback(Matrix<const float> weights, const Quantized& scales, const HessianFactor& factor, Threads& threads,
                                   bool want_targets) {
  CHECK(scales.shape() == (Shape{weights.rows, weights.cols}));
  CHECK_EQ(factor.lower.cols(), weights.cols);
  CHECK_EQ(factor.block, scales.format.grid.dimension());
  openblas_set_num_threads(1);
  FeedbackResult result;
  Quantized& q = result.quantized;
  q.format = scales.format;
  q.codes = OwnedMatrix<std::uint16_t>(scales.codes.rows(), scales.codes.cols());
  q.scales = copy(scales.scales);
  q.minima = copy(scales.minima);
  q.tables = copy(scales.tables);
  q.tensor_scale = scales.tensor_scale;
  q.cols = scales.cols;
  q.row_scales = copy(scales.row_scales);
  auto rows = static_cast<std::size_t>(weights.rows);
  result.row_error.resize(rows), result.row_damped.resize(rows), result.row_bound.resize(rows), result.row_clipped.resize(rows);
  if (want_targets) result.targets.resize(rows * static_cast<std::size_t>(weights.cols));
  threads.split(ceil_div(weights.rows, kRows), [&](i64 first, i64 last) {
    Task task(weights, factor, result, want_targets);
    for (i64 t = first; t < last; t++) task.run(t * kRows, std::min(kRows, weights.rows - t * kRows));
  });
  return result;
}

}  // namespace bitkerf
