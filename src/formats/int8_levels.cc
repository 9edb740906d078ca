#include "formats/int8_levels.h"

#include <algorithm>
#include <cmath>

namespace bitkerf {
namespace {

// Normal weights whose largest of 64 (2.4 standard deviations, on average) lies on the last level.
struct NormalWeights {
  static constexpr int kPoints = 1024;
  struct Point {
    double weight, density;
    int code;
  };
  std::vector<Point> points;
  double error = 0;  // of the grid itself
  explicit NormalWeights(const Grid& grid) {
    for (int i = 0; i < kPoints; i++) {
      double z = (i + 0.5) / kPoints * 8 - 4;
      double x = std::clamp(z * grid.reach() / 2.4, double{grid.lowest()}, double{grid.highest()});
      points.push_back({x, std::exp(-z * z / 2), grid.nearest(static_cast<float>(x))});
      error += points.back().density * std::pow(x - grid.value(points.back().code), 2);
    }
  }
  // What is more than `most` may be cut short.
  double cost(const std::vector<std::int8_t>& values, float step, double most) const {
    double rounded = 0;
    for (const Point& p : points) {
      rounded += p.density * std::pow(p.weight - double{step} * values[static_cast<std::size_t>(p.code)], 2);
      if (rounded > (1 + most) * error) return INFINITY;
    }
    return rounded / error - 1;
  }
};

std::vector<std::int8_t> round_levels(const Grid& grid, float step) {
  std::vector<std::int8_t> values;
  for (int code = 0; code < grid.levels(); code++)
    for (int i = 0; i < grid.dimension(); i++) values.push_back(static_cast<std::int8_t>(std::nearbyint(grid.value(code, i) / step)));
  return values;
}

// Whether different levels stay different: of floats with a wide range the small ones would all become 0.
bool keeps_levels_apart(const Grid& grid, float step) {
  const std::vector<float>& levels = grid.sorted_values();
  for (std::size_t i = 1; i < levels.size(); i++)
    if (std::nearbyint(levels[i] / step) == std::nearbyint(levels[i - 1] / step)) return false;
  return true;
}

}  // namespace

namespace {

// Nothing to round to, or nothing that rounding could help.
bool none(const Grid& grid) {
  return (grid.dimension() == 1 && grid.levels() > 256) || (!grid.int8_step() && (grid.dimension() > 1 || grid.is_affine()));
}

}  // namespace

bool has_int8_levels(const Grid& grid) { return !none(grid) && (grid.int8_step() || int8_levels(grid)); }

std::optional<Int8Levels> int8_levels(const Grid& grid) {
  if (none(grid)) return std::nullopt;
  std::optional<float> exact = grid.int8_step();
  Int8Levels result{exact.value_or(1), {}, 0, 0, 0};
  if (exact) {
    result.values = round_levels(grid, result.step);
  } else {
    // The largest level on 127, or on what lets the others fall nearer to integers.
    NormalWeights weights(grid);
    result.cost = INFINITY;
    for (int top = 127; top >= 96; top--) {
      float step = grid.magnitude() / static_cast<float>(top);
      if (!keeps_levels_apart(grid, step)) continue;
      std::vector<std::int8_t> values = round_levels(grid, step);
      double cost = weights.cost(values, step, std::min(result.cost, kMostInt8Cost));
      if (cost < result.cost) result = {step, std::move(values), cost, 0, 0};
    }
    if (!(result.cost <= kMostInt8Cost)) return std::nullopt;
    result.cost = std::max(result.cost, 1e-9);  // rounded by chance to less error is still rounded
  }
  auto [low, high] = std::minmax_element(result.values.begin(), result.values.end());
  result.lowest = *low;
  result.highest = *high;
  return result;
}

}  // namespace bitkerf
