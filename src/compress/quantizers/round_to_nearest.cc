#include "compress/quantizers/round_to_nearest.h"

#include <algorithm>
#include <cmath>

namespace bitkerf {
namespace {

struct Fit {
  float scale, minimum;
};

// The scale for which the group's extremes fall on the grid's, times `factor`; rounded as it will be stored.
Fit fit(const NumberFormat& format, std::span<const float> group, float tensor_scale, float factor) {
  auto [low, high] = std::minmax_element(group.begin(), group.end());
  const ScaleType& type = *format.scale;
  float span = format.grid.highest() - format.grid.lowest();
  if (format.has_minimum) {
    float scale = type.round((*high - *low) * factor / (span * tensor_scale));
    // The middle stays where it is when the range shrinks.
    float minimum = (*high + *low) / 2 - scale * tensor_scale * (format.grid.highest() + format.grid.lowest()) / 2;
    return {scale, std::copysign(type.name == "e8m0" || type.name == "e4m3" ? std::fabs(minimum) : type.round(std::fabs(minimum)), minimum)};
  }
  // Lopsided grids (-8..7) put the larger side on the longer end; scales may not be negative, so the shorter end counts
  // when the largest weight is positive.
  float need = 0;
  if (*high > 0 && format.grid.highest() > 0) need = std::max(need, *high / format.grid.highest());
  if (*low < 0 && format.grid.lowest() < 0) need = std::max(need, *low / format.grid.lowest());
  return {type.round(need * factor / tensor_scale), 0};
}

double squared_error(const NumberFormat& format, std::span<const float> group, float tensor_scale, Fit f) {
  double error = 0;
  float scale = f.scale * tensor_scale;
  for (float w : group) {
    float v = scale > 0 ? (w - f.minimum) / scale : 0;
    double d = double{w} - (double{scale} * format.grid.value(format.grid.nearest(v)) + f.minimum);
    error += d * d;
  }
  return error;
}

}  // namespace

Quantized round_to_nearest(Matrix<const float> weights, const NumberFormat& format, ScaleSearch search) {
  Quantized q{format, {weights.rows, weights.cols}, {weights.rows, format.groups(weights.cols)}, {}, 1};
  if (format.has_minimum) q.minima = {weights.rows, format.groups(weights.cols)};
  if (format.scale->tensor_scale) {
    // The largest group's scale becomes the largest value of the scale type (NVFP4: 448).
    float top = 0;
    for (i64 r = 0; r < weights.rows; r++)
      for (float w : weights.row_span(r)) top = std::max(top, std::fabs(w));
    float largest_scale = format.scale->round(1e30f);
    if (top > 0) q.tensor_scale = top / (format.grid.magnitude() * largest_scale);
  }
  i64 width = format.group == kWholeRow ? weights.cols : format.group;
  for (i64 r = 0; r < weights.rows; r++) {
    for (i64 g = 0; g < format.groups(weights.cols); g++) {
      i64 first = g * width, count = std::min(width, weights.cols - first);
      std::span<const float> group(weights.row(r) + first, static_cast<std::size_t>(count));
      Fit best = fit(format, group, q.tensor_scale, 1);
      if (search == ScaleSearch::squared_error) {
        double least = squared_error(format, group, q.tensor_scale, best);
        for (int i = 0; i < 40; i++) {
          Fit f = fit(format, group, q.tensor_scale, 0.4f + 0.61f * static_cast<float>(i) / 39.0f);
          double error = squared_error(format, group, q.tensor_scale, f);
          if (error < least) least = error, best = f;
        }
      }
      q.scales(r, g) = best.scale;
      if (format.has_minimum) q.minima(r, g) = best.minimum;
      float scale = best.scale * q.tensor_scale;
      for (i64 c = 0; c < count; c++) {
        float v = scale > 0 ? (group[static_cast<std::size_t>(c)] - best.minimum) / scale : 0;
        q.codes(r, first + c) = static_cast<std::uint16_t>(format.grid.nearest(v));
      }
    }
  }
  return q;
}

}  // namespace bitkerf
