// Feedback rounding that keeps the `width` best beginnings of every row instead of one: at each column all of them go on to
// the level next to their target and to the next but one, and those with the least sum of D_k r_k^2 stay (the K-best search
// of lattice decoding; the sum is exactly the error so far, so comparing beginnings is fair).
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "compress/quantizers/feedback.h"

namespace bitkerf {
namespace {

constexpr i64 kLanes = 48;  // rows of a task times width
constexpr i64 kBlock = 32;  // columns between two products with the errors before them
constexpr double kNone = std::numeric_limits<double>::infinity();

struct Found {
  OwnedMatrix<std::uint16_t> codes;
  std::vector<double> row_error, row_damped;
};

class BeamTask {
 public:
  BeamTask(Matrix<const float> weights, const Quantized& scales, const HessianFactor& factor, int width, Found& found)
      : w_(weights), f_(factor), out_(found), q_(scales), width_(width), cols_(weights.cols), target_(kBlock, kLanes),
        error_(weights.cols, kLanes), code_(weights.cols, kLanes), cost_(kLanes), source_(kLanes) {
    const Grid& grid = q_.format.grid;
    by_value_.resize(static_cast<std::size_t>(grid.levels()));
    std::iota(by_value_.begin(), by_value_.end(), 0);
    std::stable_sort(by_value_.begin(), by_value_.end(), [&](int a, int b) { return grid.value(a) < grid.value(b); });
    rank_.resize(by_value_.size());
    for (std::size_t i = 0; i < by_value_.size(); i++) rank_[static_cast<std::size_t>(by_value_[i])] = static_cast<int>(i);
  }

  void run(i64 first_row, i64 rows) {
    first_ = first_row, rows_ = rows;
    for (i64 lane = 0; lane < kLanes; lane++) cost_[at(lane)] = lane % width_ == 0 && lane < rows * width_ ? 0 : kNone;
    const i64 last_start = (cols_ - 1) / kBlock * kBlock;
    for (i64 first = last_start; first >= 0; first -= kBlock) block(first, std::min(kBlock, cols_ - first));
    finish();
  }

 private:
  static std::size_t at(i64 i) { return static_cast<std::size_t>(i); }

  void block(i64 first, i64 count) {
    const i64 after = first + count;
    for (i64 k = 0; k < count; k++) {
      const i64 c = f_.order[at(first + k)];
      double* t = target_.view().row(k);
      for (i64 lane = 0; lane < kLanes; lane++) t[lane] = lane / width_ < rows_ ? w_(first_ + lane / width_, c) : 0;
    }
    if (after < cols_)
      cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<blasint>(count), kLanes, static_cast<blasint>(cols_ - after), 1,
                  f_.lower.view().row(after) + first, static_cast<blasint>(cols_), error_.view().row(after), kLanes, 1, target_.view().data, kLanes);
    std::iota(source_.begin(), source_.end(), 0);
    for (i64 k = count - 1; k >= 0; k--) {
      double* t = target_.view().row(k);
      for (i64 j = k + 1; j < count; j++) {
        const double l = f_.lower(first + j, first + k);
        const double* e = error_.view().row(first + j);
        for (i64 lane = 0; lane < kLanes; lane++) t[lane] += l * e[lane];
      }
      for (i64 r = 0; r < rows_; r++) step(r, first, k, count);
    }
    // Beginnings that were left behind in this block take their errors and codes before it along.
    for (i64 r = 0; r < rows_; r++) {
      bool moved = false;
      for (i64 b = 0; b < width_; b++) moved |= source_[at(r * width_ + b)] != r * width_ + b;
      if (!moved) continue;
      for (i64 j = after; j < cols_; j++) gather(error_.view().row(j), &source_[at(r * width_)], r), gather(code_.view().row(j), &source_[at(r * width_)], r);
    }
  }

  template <class T>
  void gather(T* row, const i64* from, i64 r) const {
    T kept[kLanes];
    for (i64 b = 0; b < width_; b++) kept[b] = row[from[b]];
    std::copy_n(kept, width_, row + r * width_);
  }

  // Row r at position first + k of a block of `count`.
  void step(i64 r, i64 first, i64 k, i64 count) {
    struct Next {
      double cost, error;
      i64 lane;
      int code;
    };
    Next next[2 * kLanes];
    int found = 0;
    const i64 row = first_ + r, c = f_.order[at(first + k)], g = q_.format.group_of(c);
    const float scale = q_.scales(row, g) * q_.tensor_scale, minimum = q_.format.has_minimum ? q_.minima(row, g) : 0.0f;
    const double d = f_.diagonal(first + k, 0);
    const Grid& grid = q_.format.grid;
    for (i64 b = 0; b < width_; b++) {
      const i64 lane = r * width_ + b;
      if (cost_[at(lane)] == kNone) continue;
      const double t = target_(k, lane);
      const float place = scale > 0 ? static_cast<float>((t - minimum) / scale) : 0;
      const int code = grid.nearest(place), rank = rank_[at(code)], last = static_cast<int>(by_value_.size()) - 1;
      const bool above = rank < last && (rank == 0 || place > grid.value(code));
      auto add = [&](int taken) {
        float value = scale * grid.value(taken);
        if (q_.format.has_minimum) value += minimum;
        const double rest = t - value;
        next[found++] = {cost_[at(lane)] + d * rest * rest, w_(row, c) - double{value}, lane, taken};
      };
      add(code);
      if (scale > 0 && last > 0) add(by_value_[at(above ? rank + 1 : rank - 1)]);
    }
    std::stable_sort(next, next + found, [](const Next& a, const Next& b) { return a.cost < b.cost; });
    const int kept = std::min(found, width_);
    i64 from[kLanes];
    bool moved = false;
    for (i64 b = 0; b < width_; b++) {
      from[b] = b < kept ? next[b].lane : r * width_ + b;
      moved |= from[b] != r * width_ + b;
    }
    if (moved) {
      for (i64 j = 0; j < k; j++) gather(target_.view().row(j), from, r);
      for (i64 j = k + 1; j < count; j++) gather(error_.view().row(first + j), from, r), gather(code_.view().row(first + j), from, r);
      gather(source_.data(), from, r);
    }
    for (i64 b = 0; b < width_; b++) {
      const i64 lane = r * width_ + b;
      cost_[at(lane)] = b < kept ? next[b].cost : kNone;
      error_(first + k, lane) = b < kept ? next[b].error : 0;
      code_(first + k, lane) = static_cast<std::uint16_t>(b < kept ? next[b].code : 0);
    }
  }

  // The first of a row's lanes is its best.
  void finish() {
    for (i64 r = 0; r < rows_; r++) {
      const i64 lane = r * width_;
      double squares = 0;
      for (i64 k = 0; k < cols_; k++) {
        out_.codes(first_ + r, f_.order[at(k)]) = code_(k, lane);
        squares += error_(k, lane) * error_(k, lane);
      }
      out_.row_damped[at(first_ + r)] = cost_[at(lane)];
      out_.row_error[at(first_ + r)] = std::max(0.0, cost_[at(lane)] - f_.damping * squares);
    }
  }

  Matrix<const float> w_;
  const HessianFactor& f_;
  Found& out_;
  const Quantized& q_;
  int width_;
  i64 cols_, first_ = 0, rows_ = 0;
  OwnedMatrix<double> target_, error_;  // (columns of the block, lanes); (cols, lanes) by position
  OwnedMatrix<std::uint16_t> code_;     // (cols, lanes) by position
  std::vector<double> cost_;            // (lanes)
  std::vector<i64> source_;             // (lanes) which lane it was when the block began
  std::vector<int> by_value_, rank_;    // codes by ascending value, and back
};

}  // namespace

void improve_with_beam(Matrix<const float> weights, const HessianFactor& factor, int width, Threads& threads, FeedbackResult& result) {
  CHECK(width >= 1 && width <= kLanes);
  if (width == 1 || result.quantized.format.grid.dimension() > 1 || result.quantized.format.row_tables || result.quantized.format.group_rows > 1) return;
  openblas_set_num_threads(1);
  Found found{OwnedMatrix<std::uint16_t>(weights.rows, weights.cols), std::vector<double>(result.row_error.size()),
              std::vector<double>(result.row_error.size())};
  const i64 rows = kLanes / width;
  threads.split(ceil_div(weights.rows, rows), [&](i64 first, i64 last) {
    BeamTask task(weights, result.quantized, factor, width, found);
    for (i64 t = first; t < last; t++) task.run(t * rows, std::min(rows, weights.rows - t * rows));
  });
  for (i64 r = 0; r < weights.rows; r++) {
    const auto row = static_cast<std::size_t>(r);
    if (!(found.row_damped[row] < result.row_damped[row])) continue;
    std::copy_n(found.codes.view().row(r), found.codes.cols(), result.quantized.codes.view().row(r));
    result.row_damped[row] = found.row_damped[row], result.row_error[row] = found.row_error[row];
  }
}

}  // namespace bitkerf
