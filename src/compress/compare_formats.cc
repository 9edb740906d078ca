#include "compress/compare_formats.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bitkerf {
namespace {

// In (0, 1), by splitmix64.
double uniform(std::uint64_t seed, std::uint64_t counter) {
  std::uint64_t z = seed + (counter + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return (static_cast<double>(z >> 11) + 0.5) * 0x1p-53;
}

template <class Value>
OwnedMatrix<float> values(i64 rows, i64 cols, Value&& value) {
  OwnedMatrix<float> m(rows, cols);
  for (i64 i = 0; i < rows * cols; i++) m.view().data[i] = static_cast<float>(value(static_cast<std::uint64_t>(i)));
  return m;
}

}  // namespace

double signal_to_noise(Matrix<const float> weights, const Quantized& quantized) {
  double signal = 0;
  for (i64 r = 0; r < weights.rows; r++)
    for (float w : weights.row_span(r)) signal += double{w} * w;
  return 10 * std::log10(signal / squared_error(weights, quantized));
}

CrestFactors crest_factors(Matrix<const float> weights, i64 block) {
  std::vector<double> all;
  CrestFactors result;
  for (i64 r = 0; r < weights.rows; r++)
    for (i64 first = 0; first < weights.cols; first += block) {
      i64 count = std::min(block, weights.cols - first);
      double top = 0, squares = 0;
      for (i64 c = first; c < first + count; c++) {
        top = std::max(top, std::fabs(double{weights(r, c)}));
        squares += double{weights(r, c)} * weights(r, c);
      }
      if (top == 0) continue;
      double crest = top / std::sqrt(squares / static_cast<double>(count));
      all.push_back(crest);
      result.mean += crest;
      result.histogram[std::clamp(static_cast<int>((crest - 1) * 4), 0, 15)]++;
    }
  if (all.empty()) return result;
  std::sort(all.begin(), all.end());
  result.mean /= static_cast<double>(all.size());
  result.median = all[all.size() / 2];
  result.last_decile = all[all.size() * 9 / 10];
  return result;
}

OwnedMatrix<float> normal_values(i64 rows, i64 cols, std::uint64_t seed) {
  return values(rows, cols, [&](std::uint64_t i) {  // Box-Muller
    return std::sqrt(-2 * std::log(uniform(seed, 2 * i))) * std::cos(2 * std::numbers::pi * uniform(seed, 2 * i + 1));
  });
}

OwnedMatrix<float> laplace_values(i64 rows, i64 cols, std::uint64_t seed) {
  return values(rows, cols, [&](std::uint64_t i) {
    double u = uniform(seed, i) - 0.5;
    return std::copysign(std::log(1 - 2 * std::fabs(u)), -u) / std::numbers::sqrt2;
  });
}

}  // namespace bitkerf
