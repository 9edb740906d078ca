#include "compress/quantizers/fit_grid.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compress/quantizers/k_means.h"

namespace bitkerf {
namespace {

// Every n-th row, so that about `weights` weights are left: what is learned from that many hardly differs from what
// all would give, and searches quantize it dozens of times.
OwnedMatrix<float> sample_rows(Matrix<const float> all, i64 weights) {
  i64 rows = std::clamp<i64>(weights / all.cols, 1, all.rows);
  OwnedMatrix<float> some(rows, all.cols);
  for (i64 r = 0; r < rows; r++) std::copy_n(all.row(r * all.rows / rows), all.cols, some.view().row(r));
  return some;
}

double error_with(Matrix<const float> weights, const NumberFormat& format, std::string_view value, const ScaleRule& rule, Threads* threads) {
  return squared_error(weights, round_to_nearest(weights, with_parameter(format, value), rule, threads));
}

// A search of scales inside the search of the parameter multiplies their costs.
i64 sample_size(const ScaleRule& rule) { return rule.factors == 1 ? 1 << 20 : 1 << 15; }

std::string fit_exponent(Matrix<const float> weights, const NumberFormat& format, const ScaleRule& rule, Threads* threads) {
  return fmt::format("{:.3f}", best_exponent(weights, format, rule, threads));
}

std::string fit_split(Matrix<const float> weights, const NumberFormat& format, const ScaleRule& rule, Threads* threads) {
  OwnedMatrix<float> sample = sample_rows(weights, sample_size(rule));
  std::string best;
  double least = INFINITY;
  int bits = format.grid.bits();
  for (int exponent = 1; exponent <= std::min(5, bits - 1); exponent++) {
    std::string split = fmt::format("e{}m{}", exponent, bits - 1 - exponent);
    double error = error_with(sample.view(), format, split, rule, threads);
    if (error < least) least = error, best = split;
  }
  return best;
}

std::string fit_codebook(Matrix<const float> weights, const NumberFormat& format, const ScaleRule&, Threads*) {
  int dimension = format.grid.dimension();
  OwnedMatrix<float> sample = sample_rows(weights, dimension == 1 ? 1 << 18 : 1 << 15);
  // On the scale that the largest weight of each group gives it.
  std::vector<float> points;
  i64 cols = weights.cols, width = format.group == kWholeRow ? cols : format.group;
  for (i64 r = 0; r < sample.rows(); r++)
    for (i64 first = 0; first < cols; first += width) {
      i64 count = std::min(width, cols - first);
      const float* group = sample.view().row(r) + first;
      float top = 0;
      for (i64 c = 0; c < count; c++) top = std::max(top, std::fabs(group[c]));
      for (i64 c = 0; c + dimension <= count; c += dimension)
        for (int i = 0; i < dimension; i++) points.push_back(top > 0 ? group[c + i] / top * format.grid.reach() : 0);
    }
  if (points.empty()) points.assign(static_cast<std::size_t>(dimension), 0);
  std::string text;
  for (float v : k_means(points, dimension, format.grid.levels()))
    text += fmt::format("{:02x}", static_cast<int>(std::nearbyint(std::clamp(v, -127.0f, 127.0f))) & 0xff);
  return text;
}

struct ParameterRow {
  std::string_view name;
  std::string (*fit)(Matrix<const float> weights, const NumberFormat& format, const ScaleRule& rule, Threads* threads);
};
constexpr ParameterRow kParameters[] = {{"a", fit_exponent}, {"split", fit_split}, {"v", fit_codebook}};

}  // namespace

double best_exponent(Matrix<const float> weights, const NumberFormat& format, const ScaleRule& rule, Threads* threads) {
  OwnedMatrix<float> sample = sample_rows(weights, sample_size(rule));
  auto error = [&](double a) { return error_with(sample.view(), format, fmt::format("{:.6f}", a), rule, threads); };
  const double golden = (std::sqrt(5.0) - 1) / 2;
  double low = 0.2, high = 1.2;
  double left = high - golden * (high - low), right = low + golden * (high - low);
  double at_left = error(left), at_right = error(right);
  while (high - low > 0.002) {
    if (at_left <= at_right) {
      high = right, right = left, at_right = at_left;
      left = high - golden * (high - low);
      at_left = error(left);
    } else {
      low = left, left = right, at_left = at_right;
      right = low + golden * (high - low);
      at_right = error(right);
    }
  }
  return (low + high) / 2;
}

NumberFormat fit_grid(Matrix<const float> weights, const NumberFormat& format, const ScaleRule& rule, Threads* threads) {
  for (const ParameterRow& row : kParameters)
    if (row.name == format.open_parameter) return with_parameter(format, row.fit(weights, format, rule, threads));
  CHECK(false);
}

}  // namespace bitkerf
