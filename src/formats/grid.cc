#include "formats/grid.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace bitkerf {

Grid::Cells::Cells(std::span<const float> values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  low_ = *low;
  width_ = std::max((*high - *low) / kCells, 1e-30f);
  const int levels = static_cast<int>(values.size()) / 2;
  const float reach = width_ * 0.70711f;  // from the middle of a cell to its corner
  std::vector<float> distance(static_cast<std::size_t>(levels));
  for (int cell = 0; cell < kCells * kCells; cell++) {
    const float x = low_ + width_ * (static_cast<float>(cell / kCells) + 0.5f), y = low_ + width_ * (static_cast<float>(cell % kCells) + 0.5f);
    float least = INFINITY;
    for (int code = 0; code < levels; code++) {
      const auto at = static_cast<std::size_t>(code);
      distance[at] = std::hypot(values[2 * at] - x, values[2 * at + 1] - y);
      least = std::min(least, distance[at]);
    }
    first_[cell] = static_cast<int>(near_.size());
    for (int code = 0; code < levels; code++)
      if (distance[static_cast<std::size_t>(code)] <= (least + 2 * reach) * 1.0001f)
        near_.push_back({code, values[2 * static_cast<std::size_t>(code)], values[2 * static_cast<std::size_t>(code) + 1]});
  }
  first_[kCells * kCells] = static_cast<int>(near_.size());
}

int Grid::Cells::nearest(const float* point) const {
  const float x = (point[0] - low_) / width_, y = (point[1] - low_) / width_;
  if (!(x >= 0 && y >= 0 && x < kCells && y < kCells)) return -1;
  const int cell = static_cast<int>(x) * kCells + static_cast<int>(y);
  int best = 0;
  float least = INFINITY;
  for (int i = first_[cell]; i < first_[cell + 1]; i++) {
    const Near& n = near_[static_cast<std::size_t>(i)];
    float error = 0;
    error += (point[0] - n.x) * (point[0] - n.x);
    error += (point[1] - n.y) * (point[1] - n.y);
    if (error < least) least = error, best = n.code;
  }
  return best;
}

namespace {

// The greatest common divisor of all values as multiples of 2^-24, when they are such and int8 times it.
std::optional<float> int8_step_of(std::span<const float> values) {
  std::int64_t divisor = 0;
  for (float v : values) {
    const double scaled = double{v} * 0x1p24;
    if (!(std::fabs(scaled) <= 0x1p53)) return std::nullopt;
    const auto multiple = static_cast<std::int64_t>(scaled);
    if (static_cast<double>(multiple) != scaled) return std::nullopt;
    if (divisor == 0 || multiple % divisor != 0) divisor = std::gcd(divisor, multiple);
  }
  if (divisor == 0) return 1.0f;
  const double step = std::ldexp(static_cast<double>(divisor), -24);
  for (float v : values)
    if (v / step < -128 || v / step > 127) return std::nullopt;
  return static_cast<float>(step);
}

}  // namespace

Grid Grid::integers(int first, int last, int step) {
  CHECK_GE(last, first);
  CHECK_GE(step, 1);
  Grid g;
  g.affine_ = true;
  g.first_ = first;
  g.last_ = last;
  g.step_ = step;
  CHECK_LE(g.levels(), 65536);
  return g;
}

Grid Grid::table(std::vector<float> values) {
  CHECK(!values.empty() && values.size() <= 65536);
  Grid g;
  auto tables = std::make_shared<Tables>();
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  auto at = [&](int code) { return values[static_cast<std::size_t>(code)]; };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return at(a) < at(b); });
  bool plus_zero = false;
  for (int code : order) {
    if (at(code) == 0 && std::signbit(at(code)) && tables->minus_zero < 0) tables->minus_zero = code;
    plus_zero |= at(code) == 0 && !std::signbit(at(code));
    if (!tables->sorted.empty() && tables->sorted.back() == at(code)) continue;
    tables->sorted.push_back(at(code));
    tables->sorted_codes.push_back(code);
  }
  if (!plus_zero) tables->minus_zero = -1;
  tables->lowest = tables->sorted.front();
  tables->highest = tables->sorted.back();
  g.levels_ = static_cast<int>(values.size());
  tables->int8_step = int8_step_of(values);
  tables->values = std::move(values);
  g.tables_ = std::move(tables);
  return g;
}

Grid Grid::points(int dimension, std::vector<float> values, NearestPoint nearest) {
  CHECK(dimension >= 1 && !values.empty() && values.size() % static_cast<std::size_t>(dimension) == 0);
  if (dimension == 1) return table(std::move(values));
  Grid g;
  g.dimension_ = dimension;
  g.levels_ = static_cast<int>(values.size()) / dimension;
  CHECK_LE(g.levels_, 65536);
  auto tables = std::make_shared<Tables>();
  auto [low, high] = std::minmax_element(values.begin(), values.end());
  tables->lowest = *low;
  tables->highest = *high;
  tables->nearest = nearest;
  if (!nearest) {
    if (dimension == 2 && g.levels_ >= 32) tables->cells.emplace(values);
    tables->by_weight.resize(values.size());
    for (int i = 0; i < dimension; i++)
      for (int code = 0; code < g.levels_; code++)
        tables->by_weight[static_cast<std::size_t>(i * g.levels_ + code)] = values[static_cast<std::size_t>(code * dimension + i)];
  }
  tables->int8_step = int8_step_of(values);
  tables->values = std::move(values);
  g.tables_ = std::move(tables);
  return g;
}

int Grid::bits() const { return std::bit_width(static_cast<unsigned>(levels() - 1)); }
float Grid::lowest() const { return affine_ ? static_cast<float>(first_) : tables_->lowest; }
float Grid::highest() const { return affine_ ? value(levels() - 1) : tables_->highest; }
float Grid::magnitude() const { return std::max(std::fabs(lowest()), std::fabs(highest())); }

int Grid::nearest(float value) const {
  if (affine_) {
    if (!(value > lowest())) return 0;  // NaN too
    if (value >= highest()) return levels() - 1;
    if (step_ == 1) return static_cast<int>(std::nearbyint(value)) - first_;
    return static_cast<int>(std::nearbyint((double{value} - first_) / step_));
  }
  CHECK_EQ(dimension_, 1);
  const Tables& t = *tables_;
  if (!(value > t.lowest)) return t.sorted_codes.front();
  if (value >= t.highest) return t.sorted_codes.back();
  auto above = std::upper_bound(t.sorted.begin(), t.sorted.end(), value) - t.sorted.begin();  // in 1..size-1
  // Doubles: the difference of two floats of different size is not exact in float.
  double low = double{value} - double{t.sorted[static_cast<std::size_t>(above - 1)]};
  double high = double{t.sorted[static_cast<std::size_t>(above)]} - double{value};
  int low_code = t.sorted_codes[static_cast<std::size_t>(above - 1)], high_code = t.sorted_codes[static_cast<std::size_t>(above)];
  int code = low != high ? (low < high ? low_code : high_code) : low_code % 2 == 0 ? low_code : high_code;
  if (t.minus_zero >= 0 && std::signbit(value) && t.values[static_cast<std::size_t>(code)] == 0) return t.minus_zero;
  return code;
}

int Grid::nearest(const float* point) const {
  if (dimension_ == 1) return nearest(*point);
  if (tables_->nearest) return tables_->nearest(point);
  if (tables_->cells)
    if (const int code = tables_->cells->nearest(point); code >= 0) return code;
  constexpr int kBlock = 256;
  int best = 0;
  float least = INFINITY;
  for (int first = 0; first < levels_; first += kBlock) {
    int count = std::min(kBlock, levels_ - first);
    float error[kBlock] = {};
    for (int i = 0; i < dimension_; i++) {
      const float* v = tables_->by_weight.data() + i * levels_ + first;
      for (int code = 0; code < count; code++) error[code] += (point[i] - v[code]) * (point[i] - v[code]);
    }
    for (int code = 0; code < count; code++)
      if (error[code] < least) least = error[code], best = first + code;
  }
  return best;
}

Grid Grid::with_reach(float reach) const {
  Grid grid = *this;
  grid.reach_ = reach;
  return grid;
}

Grid Grid::with_patterns(const SignedPatterns& patterns) const {
  Grid grid = *this;
  grid.patterns_ = &patterns;
  return grid;
}

Grid Grid::with_rms(float rms) const {
  Grid grid = *this;
  grid.rms_ = rms;
  return grid;
}

std::optional<float> Grid::int8_step() const {
  if (!affine_) return tables_->int8_step;
  const float extremes[] = {lowest(), highest(), static_cast<float>(step_), value(std::min(1, levels() - 1))};
  return int8_step_of(extremes);
}

Grid small_float_grid(const SmallFloat& f) {
  int magnitudes = 1 << (f.exponent_bits + f.mantissa_bits);
  int bias = (1 << (f.exponent_bits - 1)) - 1;
  std::vector<float> values;
  for (int sign = 0; sign < 2; sign++) {
    for (int m = 0; m < magnitudes; m++) {
      int exponent = m >> f.mantissa_bits, mantissa = m & ((1 << f.mantissa_bits) - 1);
      bool special = (f.all_ones_is_nan && m == magnitudes - 1) || (f.ieee && exponent == (1 << f.exponent_bits) - 1);
      // A code that stands for no number repeats the largest one, so that decoding stays finite.
      if (special) {
        values.push_back(values.back());
        continue;
      }
      double fraction = std::ldexp(static_cast<double>(mantissa), -f.mantissa_bits);
      double v = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
      values.push_back(static_cast<float>(sign ? -v : v));
    }
  }
  return Grid::table(std::move(values));
}

}  // namespace bitkerf
