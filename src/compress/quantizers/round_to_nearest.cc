#include "compress/quantizers/round_to_nearest.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "compress/quantizers/fit_grid.h"
#include "compress/quantizers/k_means.h"
#include "core/float16.h"

namespace bitkerf {
namespace {

struct Fit {
  float scale, minimum;
};

// A group: the weights that share a scale, rows x columns of a matrix.
using Group = Matrix<const float>;

template <class Visit>
void each_weight(const Group& group, Visit&& visit) {
  for (i64 r = 0; r < group.rows; r++)
    for (i64 c = 0; c < group.cols; c++) visit(group(r, c));
}

// What the group asks for when nothing is known but its largest weight (or its root mean square), times `factor`;
// rounded as it will be stored.
Fit fit(const NumberFormat& format, const Grid& grid, const Group& group, float tensor_scale, float factor, bool floor) {
  const ScaleType& type = *format.scale;
  float low = 0, high = 0, top_low = group(0, 0), top_high = group(0, 0);
  double squares = 0;
  each_weight(group, [&](float w) {
    low = std::min(low, w), high = std::max(high, w);
    top_low = std::min(top_low, w), top_high = std::max(top_high, w);
    squares += double{w} * w;
  });
  if (format.has_minimum) {
    float span = grid.highest() - grid.lowest();
    float scale = type.round((top_high - top_low) * factor / (span * tensor_scale));
    // The middle stays where it is when the range shrinks.
    float minimum = (top_high + top_low) / 2 - scale * tensor_scale * (grid.highest() + grid.lowest()) / 2;
    return {scale, std::copysign(minimum_type(type).round(std::fabs(minimum)), minimum)};
  }
  float need = 0;
  if (grid.rms() > 0) {
    need = static_cast<float>(std::sqrt(squares / static_cast<double>(group.rows * group.cols))) / grid.rms();
  } else if (grid.reach() != grid.magnitude()) {
    need = std::max(high, -low) / grid.reach();
  } else {
    // Lopsided grids (-8..7) put the larger side on the longer end; scales may not be negative, so the shorter end
    // counts when the largest weight is positive.
    if (grid.highest() > 0) need = std::max(need, high / grid.highest());
    if (grid.lowest() < 0) need = std::max(need, low / grid.lowest());
  }
  if (floor && type.name == "e8m0" && need > 0)
    return {std::ldexp(1.0f, std::clamp(std::ilogb(std::max(high, -low)) - std::ilogb(grid.magnitude()), -127, 127)), 0};
  return {type.round(need * factor / tensor_scale), 0};
}

// Codes of a row of a group, a point of grid.dimension() weights at a time: take(point, code) for each.
template <class Take>
void encode(const Grid& grid, const float* row, i64 cols, float scale, float minimum, Take&& take) {
  if (grid.dimension() == 1) {
    for (i64 c = 0; c < cols; c++) take(c, grid.nearest(scale > 0 ? (row[c] - minimum) / scale : 0));
    return;
  }
  float point[8], inverse = scale > 0 ? 1 / scale : 0;
  for (i64 c = 0; c < cols; c += grid.dimension()) {
    for (int i = 0; i < grid.dimension(); i++) point[i] = c + i < cols ? row[c + i] * inverse : 0;
    take(c / grid.dimension(), grid.nearest(point));
  }
}

// What a search needs of a group of one weight per code: the error of a scale, in vector code. Levels are found by adding
// up steps between neighbours, or by rounding; a tie may go the other way than encode() sends it, at the same error.
class ScalarError {
 public:
  // A table of more levels is not worth it.
  static bool can(const Grid& grid) { return grid.dimension() == 1 && (grid.is_affine() || grid.sorted_values().size() <= 16); }

  explicit ScalarError(const Grid& grid) : affine_(grid.is_affine()) {
    low_ = grid.lowest();
    high_ = grid.highest();
    if (affine_) {
      step_ = static_cast<float>(grid.step());
      return;
    }
    const std::vector<float>& levels = grid.sorted_values();
    steps_ = static_cast<int>(levels.size()) - 1;
    for (int i = 0; i < steps_; i++) {
      border_[i] = (levels[static_cast<std::size_t>(i)] + levels[static_cast<std::size_t>(i + 1)]) / 2;
      rise_[i] = levels[static_cast<std::size_t>(i + 1)] - levels[static_cast<std::size_t>(i)];
    }
  }

  double of(const Group& group, float scale, float minimum) const {
    double error = 0;
    float inverse = scale > 0 ? 1 / scale : 0;
    for (i64 r = 0; r < group.rows; r++) {
      const float* w = group.row(r);
      i64 c = 0;
      for (; c + kLanes <= group.cols; c += kLanes) error += block(w + c, scale, inverse, minimum);
      if (c < group.cols) {
        float tail[kLanes];  // the last weight again and again, which is then taken out
        for (i64 i = 0; i < kLanes; i++) tail[i] = w[std::min(c + i, group.cols - 1)];
        float last[kLanes];
        std::fill_n(last, kLanes, w[group.cols - 1]);
        error += block(tail, scale, inverse, minimum) -
                 block(last, scale, inverse, minimum) * static_cast<double>(kLanes - (group.cols - c)) / kLanes;
      }
    }
    return error;
  }

 private:
  static constexpr i64 kLanes = 16;
  double block(const float* w, float scale, float inverse, float minimum) const {
    float sum[kLanes];
    if (affine_) {
      float unit = 1 / step_;
      for (i64 i = 0; i < kLanes; i++) {
        float v = (w[i] - minimum) * inverse;
        v = v < low_ ? low_ : v;
        v = v > high_ ? high_ : v;
        float code = ((v - low_) * unit + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: rounds to an integer
        float d = w[i] - (scale * (low_ + step_ * code) + minimum);
        sum[i] = d * d;
      }
    } else {
      float v[kLanes], level[kLanes];
      for (i64 i = 0; i < kLanes; i++) v[i] = (w[i] - minimum) * inverse, level[i] = low_;
      for (int s = 0; s < steps_; s++)
        for (i64 i = 0; i < kLanes; i++) level[i] += v[i] > border_[s] ? rise_[s] : 0.0f;
      for (i64 i = 0; i < kLanes; i++) {
        float d = w[i] - (scale * level[i] + minimum);
        sum[i] = d * d;
      }
    }
    float all = 0;
    for (i64 i = 0; i < kLanes; i++) all += sum[i];
    return all;
  }
  bool affine_;
  float low_, high_, step_ = 0, border_[16] = {}, rise_[16] = {};
  int steps_ = 0;
};

double error_of(const NumberFormat& format, const Grid& grid, const Group& group, float tensor_scale, Fit f) {
  double error = 0;
  float scale = f.scale * tensor_scale;
  int dimension = grid.dimension();
  for (i64 r = 0; r < group.rows; r++)
    encode(grid, group.row(r), group.cols, scale, f.minimum, [&](i64 point, int code) {
      for (int i = 0; i < dimension && point * dimension + i < group.cols; i++) {
        double d = group(r, point * dimension + i) - (double{scale} * grid.value(code, i) + f.minimum);
        error += d * d;
      }
    });
  return error;
}

// Searching a scale for points costs a look at all of them per point and factor, so a part of the group must do.
Group sample(const Group& group, int dimension) {
  if (dimension == 1) return group;
  i64 cols = std::min(group.cols, std::max<i64>(1, 512 / group.rows / dimension) * dimension);
  i64 first = (group.cols - cols) / 2 / dimension * dimension;
  return group.sub_rows(0, std::min<i64>(group.rows, 32)).sub_cols(first, cols);
}

// The step and the lowest level of the grid that the group's weights lie on, when it has as many levels as the format at
// most: blocks of a file that floats were made of (Q4_1: float16 step x code + float16 minimum, each rounded once).
std::optional<Fit> own_grid(const NumberFormat& format, const Grid& grid, const Group& group) {
  if (!grid.is_affine()) return {};
  std::vector<float> w;
  each_weight(group, [&](float v) { w.push_back(v); });
  std::sort(w.begin(), w.end());
  const float low = w.front(), range = w.back() - low, rounding = 0x1p-21f * std::max(std::fabs(low), std::fabs(w.back()));
  float least = range;  // distance of neighbours
  for (std::size_t i = 1; i < w.size(); i++)
    if (w[i] - w[i - 1] > 4 * rounding) least = std::min(least, w[i] - w[i - 1]);
  for (int parts = 1; range > 0; parts++) {  // of that distance, when no two codes are neighbours
    const float steps = std::nearbyint(range * static_cast<float>(parts) / least), step = range / steps;
    if (steps > static_cast<float>(grid.levels() - 1)) return {};
    bool all = true;
    for (float v : w) all &= std::fabs(low + step * std::nearbyint((v - low) / step) - v) <= 2 * rounding;
    if (!all) continue;
    const float scale = step / static_cast<float>(grid.step());
    if (!format.has_minimum) {
      const float at = std::nearbyint(low / scale);
      if (std::fabs(low - at * scale) > 2 * rounding || at < grid.lowest() || at + range / scale > grid.highest() + 0.5f) return {};
      return Fit{scale, 0};
    }
    // The lowest codes may be of no weight: the file's minimum is the one that float16 holds.
    float minimum = low;
    for (int unused = 0; unused < grid.levels() - static_cast<int>(steps); unused++) {
      const float v = low - step * static_cast<float>(unused);
      if (std::fabs(f16_to_f32(f32_to_f16(v)) - v) > rounding) continue;
      minimum = v;
      break;
    }
    return Fit{scale, minimum - scale * grid.lowest()};
  }
  return {};
}

Fit best_fit(const NumberFormat& format, const Grid& grid, const Group& group, float tensor_scale, ScaleRule rule) {
  if (std::optional<Fit> own = rule.own ? own_grid(format, grid, group) : std::nullopt)
    return {format.scale->round(own->scale / tensor_scale), std::copysign(minimum_type(*format.scale).round(std::fabs(own->minimum)), own->minimum)};
  Fit best = fit(format, grid, group, tensor_scale, 1, rule.floor);
  if (rule.factors == 1) return best;
  if (grid.dimension() > 1) rule = grid.rms() > 0 ? ScaleRule{9, 0.8f, 1.2f} : ScaleRule{9, 0.7f, 1.1f};
  Group part = sample(group, grid.dimension());
  std::optional<ScalarError> scalar;
  if (ScalarError::can(grid)) scalar.emplace(grid);
  auto error_with = [&](Fit f) {
    return scalar ? scalar->of(part, f.scale * tensor_scale, f.minimum) : error_of(format, grid, part, tensor_scale, f);
  };
  double least = error_with(best);
  for (int i = 0; i < rule.factors; i++) {
    float factor = rule.low + (rule.high - rule.low) * static_cast<float>(i) / static_cast<float>(rule.factors - 1);
    Fit f = fit(format, grid, group, tensor_scale, factor, rule.floor);
    double error = error_with(f);
    if (error < least) least = error, best = f;
  }
  return best;
}

// The levels of one row, learned from its weights on the scales of their groups.
Grid learn_row(const NumberFormat& format, std::span<const float> row, float tensor_scale) {
  std::vector<float> points(row.size());
  i64 cols = static_cast<i64>(row.size()), width = format.group == kWholeRow ? cols : format.group;
  for (i64 first = 0; first < cols; first += width) {
    Group group(row.data() + first, 1, std::min(width, cols - first));
    float scale = fit(format, format.grid, group, tensor_scale, 1, false).scale * tensor_scale;
    for (i64 c = 0; c < group.cols; c++) points[static_cast<std::size_t>(first + c)] = scale > 0 ? group(0, c) / scale : 0;
  }
  std::vector<float> levels = k_means(points, 1, format.grid.levels());
  for (float& level : levels) level = std::nearbyint(std::clamp(level, -127.0f, 127.0f));
  return Grid::table(std::move(levels)).with_reach(format.grid.reach());
}

}  // namespace

Quantized round_to_nearest(Matrix<const float> weights, const NumberFormat& asked, const ScaleRule& rule, Threads* threads) {
  NumberFormat format = asked.open_parameter.empty() ? asked : fit_grid(weights, asked, rule, threads);
  Quantized q = Quantized::zeros(format, {weights.rows, weights.cols});
  if (format.scale->tensor_scale) {
    // The largest group's scale becomes the largest value of the scale type (NVFP4: 448).
    float top = 0;
    for (i64 r = 0; r < weights.rows; r++)
      for (float w : weights.row_span(r)) top = std::max(top, std::fabs(w));
    float largest_scale = format.scale->round(1e30f);
    if (top > 0) q.tensor_scale = top / (format.grid.magnitude() * largest_scale);
  }
  // Scales that are multiples of one number per row are rounded when all of the row are known.
  NumberFormat search = format;
  if (format.scale->of_row) search.scale = &scale_type("f32");
  i64 width = format.group == kWholeRow ? weights.cols : format.group;
  auto block_of_rows = [&](i64 first_row, i64 rows) {
    Grid own;
    if (format.row_tables) {  // then groups are of one row
      own = learn_row(search, weights.row_span(first_row), q.tensor_scale);
      for (int code = 0; code < own.levels(); code++) q.tables(first_row, code) = own.value(code);
    }
    const Grid& grid = format.row_tables ? own : format.grid;
    for (i64 g = 0; g < format.groups(weights.cols); g++) {
      i64 first = g * width, count = std::min(width, weights.cols - first);
      Fit best = best_fit(search, grid, weights.sub_rows(first_row, rows).sub_cols(first, count), q.tensor_scale, rule);
      for (i64 r = first_row; r < first_row + rows; r++) {
        q.scales(r, g) = best.scale;
        if (format.has_minimum) q.minima(r, g) = best.minimum;
      }
    }
    for (i64 r = first_row; r < first_row + rows; r++) {
      if (format.scale->of_row) q.round_scales(r);
      for (i64 g = 0; g < format.groups(weights.cols); g++) {
        i64 first = g * width, count = std::min(width, weights.cols - first);
        encode(grid, weights.row(r) + first, count, q.scales(r, g) * q.tensor_scale, format.has_minimum ? q.minima(r, g) : 0,
               [&](i64 point, int code) { q.codes(r, first / grid.dimension() + point) = static_cast<std::uint16_t>(code); });
      }
    }
  };
  auto blocks = [&](i64 first, i64 last) {
    for (i64 b = first; b < last; b++) {
      i64 row = b * format.group_rows;
      block_of_rows(row, std::min(format.group_rows, weights.rows - row));
    }
  };
  i64 count = ceil_div(weights.rows, format.group_rows);
  if (threads) threads->split(count, blocks);
  else blocks(0, count);
  return q;
}

double squared_error(Matrix<const float> weights, const Quantized& quantized) {
  double error = 0;
  for (i64 r = 0; r < weights.rows; r++)
    for (i64 c = 0; c < weights.cols; c++) {
      double d = double{weights(r, c)} - quantized.weight(r, c);
      error += d * d;
    }
  return error;
}

}  // namespace bitkerf
