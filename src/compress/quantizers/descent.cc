#include "compress/quantizers/descent.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace bitkerf {
namespace {

// Rows whose gradients one product starts.
constexpr i64 kRows = 32;
constexpr int kMostDimension = 8;

// Half the distance from each level to the nearest other one, in units of the grid: a target closer than that changes nothing.
std::vector<float> half_distances(const Grid& grid) {
  const int d = grid.dimension(), levels = grid.levels();
  if (grid.patterns()) return std::vector<float>(static_cast<std::size_t>(levels), 0.7f);  // E8's least distance is sqrt(2)
  std::vector<float> half(static_cast<std::size_t>(levels), levels > 1024 ? 0.0f : INFINITY);
  for (int a = 0; a < levels && levels <= 1024; a++)
    for (int b = 0; b < levels; b++) {
      float square = 0;
      for (int i = 0; i < d; i++) square += (grid.value(a, i) - grid.value(b, i)) * (grid.value(a, i) - grid.value(b, i));
      if (b != a && square > 0) half[static_cast<std::size_t>(a)] = std::min(half[static_cast<std::size_t>(a)], 0.4999f * std::sqrt(square));
    }
  return half;
}

// (H_bb)^-1 of every block of columns that one code stands for: (cols, dimension). Gauss and Jordan; H_bb is positive definite.
OwnedMatrix<float> block_inverses(const OwnedMatrix<float>& h, i64 dimension) {
  const i64 n = h.cols();
  OwnedMatrix<float> inverses(n, dimension);
  for (i64 first = 0; first < n; first += dimension) {
    const i64 size = std::min(dimension, n - first);
    double a[kMostDimension][2 * kMostDimension] = {};
    for (i64 r = 0; r < size; r++) {
      for (i64 c = 0; c < size; c++) a[r][c] = h(first + r, first + c);
      a[r][size + r] = 1;
    }
    for (i64 k = 0; k < size; k++) {
      const double pivot = 1 / a[k][k];
      for (i64 c = 0; c < 2 * size; c++) a[k][c] *= pivot;
      for (i64 r = 0; r < size; r++) {
        const double factor = a[r][k];
        if (r == k || factor == 0) continue;
        for (i64 c = 0; c < 2 * size; c++) a[r][c] -= factor * a[k][c];
      }
    }
    for (i64 r = 0; r < size; r++)
      for (i64 c = 0; c < size; c++) inverses(first + r, c) = static_cast<float>(a[r][size + c]);
  }
  return inverses;
}

class Descent {
 public:
  Descent(const DescentTask& task, Quantized& quantized)
      : task_(task), q_(quantized), grid_(quantized.format.grid), dimension_(grid_.dimension()), cols_(task.weights.cols), h_(cols_, cols_),
        half_(half_distances(grid_)) {
    for (i64 r = 0; r < cols_; r++) {
      std::copy_n(task.moment.row(r), cols_, h_.view().row(r));
      h_(r, r) += static_cast<float>(task.damping);
    }
    inverses_ = block_inverses(h_, dimension_);
  }

  void rows(i64 first, i64 count, OwnedMatrix<float>& error, OwnedMatrix<float>& gradient, std::span<double> fall) const {
    for (i64 r = 0; r < kRows; r++)
      for (i64 c = 0; c < cols_; c++) error(r, c) = r < count ? task_.weights(first + r, c) - q_.weight(first + r, c) : 0;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kRows, static_cast<blasint>(cols_), static_cast<blasint>(cols_), 1, error.view().data,
                static_cast<blasint>(error.view().stride), h_.view().data, static_cast<blasint>(h_.view().stride), 0, gradient.view().data,
                static_cast<blasint>(gradient.view().stride));
    for (i64 r = 0; r < count; r++) {
      double& changed = fall[static_cast<std::size_t>(first + r)];
      changed = 0;
      for (int sweep = 0; sweep < task_.sweeps; sweep++) {
        const double before = changed;
        for (i64 c = 0; c < cols_; c += dimension_) changed += move(first + r, c, gradient.view().row(r));
        if (changed == before) break;
      }
    }
  }

 private:
  // The code at columns [c, c + width) of row r, to where gradient = H (w - v) wants it; returns the change of the row's error.
  double move(i64 r, i64 c, float* gradient) const {
    const i64 width = std::min<i64>(dimension_, cols_ - c), g = q_.format.group_of(c);
    const float scale = q_.scales(r, g) * q_.tensor_scale;
    if (!(scale > 0)) return 0;
    std::uint16_t& code = q_.codes(r, c / dimension_);
    float step[kMostDimension], length = 0;  // to the target
    for (i64 i = 0; i < width; i++) {
      step[i] = 0;
      for (i64 j = 0; j < width; j++) step[i] += inverses_(c + i, j) * gradient[c + j];
      length += step[i] * step[i];
    }
    const float still = half_[code] * scale;
    if (length <= still * still) return 0;
    int next = 0;
    float point[kMostDimension] = {};
    for (i64 i = 0; i < width; i++) point[i] = grid_.value(code, static_cast<int>(i)) + step[i] / scale;
    next = dimension_ == 1 ? grid_.nearest(point[0]) : grid_.nearest(point);
    if (next == code) return 0;
    float moved[kMostDimension];
    double change = 0;
    for (i64 i = 0; i < width; i++) moved[i] = scale * (grid_.value(next, static_cast<int>(i)) - grid_.value(code, static_cast<int>(i)));
    for (i64 i = 0; i < width; i++) {
      change -= 2.0 * moved[i] * gradient[c + i];
      for (i64 j = 0; j < width; j++) change += double{moved[i]} * h_(c + i, c + j) * moved[j];
    }
    if (!(change < 0)) return 0;
    code = static_cast<std::uint16_t>(next);
    for (i64 i = 0; i < width; i++) {
      if (moved[i] == 0) continue;
      const float* row = h_.view().row(c + i);
      for (i64 k = 0; k < cols_; k++) gradient[k] -= moved[i] * row[k];
    }
    return change;
  }

  const DescentTask& task_;
  Quantized& q_;
  const Grid& grid_;
  const i64 dimension_, cols_;
  OwnedMatrix<float> h_, inverses_;
  std::vector<float> half_;  // by code
};

}  // namespace

void descend(const DescentTask& task, Quantized& quantized, std::span<double> fall, Threads& threads) {
  CHECK_EQ(task.moment.rows, task.weights.cols);
  CHECK_EQ(static_cast<i64>(fall.size()), task.weights.rows);
  std::fill(fall.begin(), fall.end(), 0.0);
  if (quantized.format.row_tables || quantized.format.grid.dimension() > kMostDimension) return;
  openblas_set_num_threads(1);
  const Descent descent(task, quantized);
  threads.split(ceil_div(task.weights.rows, kRows), [&](i64 first, i64 last) {
    OwnedMatrix<float> error(kRows, task.weights.cols), gradient(kRows, task.weights.cols);
    for (i64 b = first; b < last; b++) descent.rows(b * kRows, std::min(kRows, task.weights.rows - b * kRows), error, gradient, fall);
  });
}

}  // namespace bitkerf
