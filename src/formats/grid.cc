#include "formats/grid.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace bitkerf {

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
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  auto at = [&](int code) { return values[static_cast<std::size_t>(code)]; };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return at(a) < at(b); });
  for (int code : order) {
    if (!g.sorted_.empty() && g.sorted_.back() == at(code)) continue;
    g.sorted_.push_back(at(code));
    g.sorted_codes_.push_back(code);
  }
  g.values_ = std::move(values);
  return g;
}

int Grid::bits() const { return std::bit_width(static_cast<unsigned>(levels() - 1)); }
float Grid::lowest() const { return affine_ ? static_cast<float>(first_) : sorted_.front(); }
float Grid::highest() const { return affine_ ? value(levels() - 1) : sorted_.back(); }
float Grid::magnitude() const { return std::max(std::fabs(lowest()), std::fabs(highest())); }

int Grid::nearest(float value) const {
  if (!(value > lowest())) return affine_ ? 0 : sorted_codes_.front();  // NaN too
  if (value >= highest()) return affine_ ? levels() - 1 : sorted_codes_.back();
  if (affine_) return static_cast<int>(std::nearbyint((value - static_cast<float>(first_)) / static_cast<float>(step_)));
  auto above = std::upper_bound(sorted_.begin(), sorted_.end(), value) - sorted_.begin();  // in 1..size-1
  // Doubles: the difference of two floats of different size is not exact in float.
  double low = double{value} - double{sorted_[static_cast<std::size_t>(above - 1)]};
  double high = double{sorted_[static_cast<std::size_t>(above)]} - double{value};
  int low_code = sorted_codes_[static_cast<std::size_t>(above - 1)], high_code = sorted_codes_[static_cast<std::size_t>(above)];
  if (low != high) return low < high ? low_code : high_code;
  return low_code % 2 == 0 ? low_code : high_code;
}

std::optional<float> Grid::int8_step() const {
  std::vector<float> values = sorted_;
  if (affine_) values = {lowest(), highest(), static_cast<float>(step_), value(std::min(1, levels() - 1))};
  // The greatest common divisor of all values as multiples of 2^-24.
  std::int64_t divisor = 0;
  for (float v : values) {
    double scaled = std::ldexp(double{v}, 24);
    if (std::fabs(scaled) > 0x1p53 || scaled != std::nearbyint(scaled)) return std::nullopt;
    divisor = std::gcd(divisor, static_cast<std::int64_t>(scaled));
  }
  if (divisor == 0) return 1.0f;
  double step = std::ldexp(static_cast<double>(divisor), -24);
  if (lowest() / step < -128 || highest() / step > 127) return std::nullopt;
  return static_cast<float>(step);
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
