#include "verify/reference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "formats/int8_levels.h"
#include "forms/packed.h"

namespace bitkerf {
namespace {

std::int32_t sum_of_group(const IntRows& rows, i64 token, i64 group) {
  const std::int32_t* before = rows.minus_before + token * (rows.units + 1);
  return before[group * rows.group_units] - before[std::min((group + 1) * rows.group_units, rows.units)];
}

constexpr double kHalfUlp = 0x1p-24;
constexpr double kSmallest = 0x1p-149;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool is_integers(const Encoding& encoding) { return encoding.kind == int8_input().kind; }

// The power of two of the lowest set bit; infinite for 0.
double lowest_bit(double v) {
  if (v == 0 || !std::isfinite(v)) return kInfinity;
  // v without its lowest bit differs from v by just that bit. (Products of floats are normal doubles.)
  auto bits = std::bit_cast<std::uint64_t>(std::fabs(v)), mantissa = bits & ((std::uint64_t{1} << 52) - 1);
  if (mantissa == 0) return std::fabs(v);
  return std::fabs(v) - std::bit_cast<double>(bits & (bits - 1));
}

// encoding.h: half the step of the least squared error for a normal distribution, by bits (Max 1960, table II).
constexpr float kBipolarScale[] = {0, 0.79788f, 0.4978f, 0.293f, 0.1676f};

void encode_group(const Encoding& e, const float* x, i64 count, std::int32_t* code, float* scale) {
  if (!e.bipolar) {
    float top = 0;
    bool finite = true;
    for (i64 i = 0; i < count; i++) {
      finite &= std::isfinite(x[i]);
      top = std::max(top, std::fabs(x[i]));
    }
    const float largest = e.bits > 8 ? 32639 : static_cast<float>((1 << (e.bits - 1)) - 1);
    *scale = finite ? top / largest : std::numeric_limits<float>::quiet_NaN();
    const float inverse = finite && top > 0x1p-111f ? largest / top : 0;
    for (i64 i = 0; i < count; i++) code[i] = finite ? static_cast<std::int32_t>(std::nearbyint(x[i] * inverse)) : 0;
    return;
  }
  // The sum of squares in the documented order (encode.inl): 32 chains over the whole units of 32 columns, of which 16 and
  // 16 are added; the columns that are left, each on its own, in the same way; then the 16 sums in pairs.
  float sums[16];
  for (i64 lane = 0; lane < 16; lane++) {
    float chain[2][2] = {};  // of whole units, of the rest
    for (i64 i = lane; i < count; i += 16) {
      float& sum = chain[i >= count / 32 * 32][i / 16 % 2];
      sum = std::fma(x[i], x[i], sum);
    }
    sums[lane] = (chain[0][0] + chain[0][1]) + (chain[1][0] + chain[1][1]);
  }
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; i++) sums[i] += sums[i + n];
  *scale = kBipolarScale[e.bits] * std::sqrt(sums[0] / static_cast<float>(count));
  const float inverse = *scale > 0x1p-111f ? 1 / *scale : 0;
  const int most = (1 << e.bits) - 1;
  for (i64 i = 0; i < count; i++) {
    double cell = std::isfinite(*scale) ? std::floor(static_cast<float>(x[i] * inverse) / 2) : 0;
    code[i] = std::clamp(2 * static_cast<std::int32_t>(std::clamp(cell, -1e6, 1e6)) + 1, -most, most);
  }
}

}  // namespace

std::optional<Codes> encode_by_rule(const Encoding& encoding, Matrix<const float> x) {
  if (!is_integers(encoding)) return {};
  Codes codes{x.rows, x.cols, encoding.group == kRowGroup ? std::max<i64>(x.cols, 1) : encoding.group, {}, {}};
  codes.code.resize(static_cast<std::size_t>(x.rows * x.cols));
  codes.scale.resize(static_cast<std::size_t>(x.rows * codes.groups()));
  for (i64 t = 0; t < x.rows; t++)
    for (i64 g = 0; g < codes.groups(); g++) {
      i64 from = g * codes.group, count = std::min(codes.group, x.cols - from);
      encode_group(encoding, x.row(t) + from, count, &codes.code[static_cast<std::size_t>(t * x.cols + from)],
                   &codes.scale[static_cast<std::size_t>(t * codes.groups() + g)]);
    }
  return codes;
}

std::string difference(const Encoding& encoding, const Codes& want, const void* memory) {
  const IntRows& rows = *static_cast<const IntRows*>(memory);
  const i64 padded = round_up<i64>(want.cols, 32), units = padded / 32;
  if (rows.cols < padded || rows.units != units || rows.groups != want.groups() || rows.bits != encoding.bits) return "shape of the encoded rows";
  for (i64 t = 0; t < want.tokens; t++) {
    for (i64 g = 0; g < want.groups(); g++)
      if (float a = rows.scale[t * rows.groups + g], b = want.scale[static_cast<std::size_t>(t * want.groups() + g)]; a != b && !(a != a && b != b))
        return fmt::format("scale {} of token {} is {}, not {}", g, t, a, b);
    std::int64_t before = 0, half = 0;
    for (i64 c = 0; c < padded; c++) {
      std::int32_t code = c < want.cols ? want.at(t, c) : 0, got = rows.q[t * rows.cols + c];
      if (rows.low) got = 256 * got + rows.low[t * rows.cols + c];
      if (got != code) return fmt::format("code of column {} of token {} is {}, not {}", c, t, got, code);
      before += code;
      half += code;
      if (c % 16 == 15) {
        if (rows.minus_sum16[2 * (t * units + c / 32) + c % 32 / 16] != -half) return fmt::format("sum of the 16 columns that end at {} of token {}", c, t);
        half = 0;
      }
      if (c % 32 == 31 && rows.minus_before[t * (units + 1) + c / 32 + 1] != -before) return fmt::format("sum of the columns up to {} of token {}", c, t);
      if (!rows.planes) continue;
      for (int b = 0; b < encoding.bits; b++) {
        std::int32_t as_bits = encoding.bipolar ? (code + (1 << encoding.bits) - 1) / 2 : code;
        unsigned bit = c < want.cols ? static_cast<unsigned>(as_bits) >> (encoding.bits - 1 - b) & 1 : 0;
        if ((rows.planes[(t * encoding.bits + b) * units + c / 32] >> (c % 32) & 1) != bit) return fmt::format("plane {} at column {} of token {}", b, c, t);
      }
    }
    if (rows.minus_before[t * (units + 1)] != 0) return fmt::format("first sum of token {}", t);
    for (i64 g = 0; g < rows.groups; g++) {
      const float sum = rows.scale[t * rows.groups + g] * static_cast<float>(sum_of_group(rows, t, g)), got = rows.scaled_sum[t * rows.groups + g];
      if (got != sum) return fmt::format("scaled sum of group {} of token {} is {}, not {}", g, t, got, sum);
    }
  }
  return {};
}

void round_scales_to_powers(Codes& codes, void* memory) {
  IntRows& rows = *static_cast<IntRows*>(memory);
  for (std::size_t i = 0; i < codes.scale.size(); i++) {
    int exponent = 0;
    float v = codes.scale[i];
    if (v > 0) std::frexp(v, &exponent), v = std::ldexp(1.0f, std::clamp(exponent - 1, -3, 3));
    codes.scale[i] = rows.scale[i] = v;
    const auto group = static_cast<i64>(i);
    rows.scaled_sum[i] = v * static_cast<float>(sum_of_group(rows, group / rows.groups, group % rows.groups));
  }
}

Judge::Judge(const Quantized& q, const Encoding& input, double level_rounding)
    : shape_(q.shape()), input_(&input), format_(q.format), groups_(q.format.groups(q.shape().cols)),
      level_rounding_(level_rounding) {
  const Grid& grid = format_.grid;
  // weight = (scale * factor) * level + (scale * middle + minimum): integers as int_tile.inl has them.
  double step = 0;
  std::vector<std::int8_t> integers;  // by code; of grids that are none
  float factor = 0, middle = 0;
  if (grid.is_affine() && grid.bits() <= 8) {
    step = grid.step();
    bool odd = grid.step() == 2 && grid.first() == 1 - (1 << grid.bits());
    if (odd && grid.bits() < 8) step = 1;  // bipolar: odd numbers
    else if (grid.first() % grid.step() != 0) middle = q.tensor_scale * static_cast<float>(grid.first());
  } else if (format_.row_tables) {
    step = 1;
  } else if (auto levels = input.bits > 0 ? int8_levels(grid) : std::nullopt) {
    step = levels->step;
    integers = std::move(levels->values);
  }
  factor = q.tensor_scale * static_cast<float>(step);
  has_sum_ = format_.has_minimum || middle != 0;
  // Levels that are no integers times the step are the middle's business, which each form has its own way with.
  has_order_ = step > 0 && middle == 0 && (format_.group == kWholeRow || format_.group == 16 || format_.group % 32 == 0) && is_integers(input);

  const std::size_t n = static_cast<std::size_t>(shape_.rows * shape_.cols), per_group = static_cast<std::size_t>(shape_.rows * groups_);
  weight_.resize(n), parts_.resize(n), level_.resize(n), d_.resize(per_group), m_.resize(per_group), scale_.resize(per_group);
  granule_.assign(static_cast<std::size_t>(shape_.rows), kInfinity);
  float_granule_ = granule_;
  for (i64 r = 0; r < shape_.rows; r++) {
    double& granule = granule_[static_cast<std::size_t>(r)];
    double& float_granule = float_granule_[static_cast<std::size_t>(r)];
    for (i64 g = 0; g < groups_; g++) {
      const std::size_t i = static_cast<std::size_t>(r * groups_ + g);
      const float scale = q.scales(r, g), minimum = format_.has_minimum ? q.minima(r, g) : 0;
      d_[i] = scale * factor;
      m_[i] = std::fma(scale, middle, minimum);
      scale_[i] = std::fabs(double{scale} * q.tensor_scale);
      granule = std::min({granule, lowest_bit(d_[i]), lowest_bit(m_[i])});
      // Factors that are rounded themselves: nothing is exact.
      if (double{d_[i]} != double{scale} * factor || double{m_[i]} != double{scale} * middle + minimum) granule = 0;
    }
    for (i64 c = 0; c < shape_.cols; c++) {
      const i64 g = format_.group_of(c);
      const i64 dimension = grid.dimension();
      double level = q.level(r, c);
      if (!integers.empty()) level = step * integers[static_cast<std::size_t>(q.codes(r, c / dimension) * dimension + c % dimension)];
      const double minimum = format_.has_minimum ? double{q.minima(r, g)} : 0.0;
      const double product = double{q.scales(r, g)} * q.tensor_scale * level;
      weight_[at(r, c)] = product + minimum;
      parts_[at(r, c)] = std::fabs(product) + std::fabs(minimum);
      // With a middle a kernel adds up a level that starts at 0 and, of the whole group, what it is too large by.
      if (middle != 0) parts_[at(r, c)] += std::fabs(double{q.scales(r, g)} * middle);
      if (step > 0) level_[at(r, c)] = static_cast<std::int32_t>(std::lround(middle != 0 ? (level - grid.first()) / step : level / step));
      if (static_cast<double>(static_cast<float>(weight_[at(r, c)])) != weight_[at(r, c)]) float_granule = 0;
      float_granule = std::min({float_granule, lowest_bit(weight_[at(r, c)]), lowest_bit(minimum)});
    }
  }
}

Judge::Judge(Matrix<const float> weights, const Encoding& input) : shape_{weights.rows, weights.cols}, input_(&input), groups_(1) {
  const std::size_t n = static_cast<std::size_t>(shape_.rows * shape_.cols);
  weight_.resize(n), parts_.resize(n), level_.resize(n), d_.resize(static_cast<std::size_t>(shape_.rows)), m_ = d_, scale_.resize(static_cast<std::size_t>(shape_.rows));
  granule_.assign(static_cast<std::size_t>(shape_.rows), 0);
  float_granule_.assign(static_cast<std::size_t>(shape_.rows), kInfinity);
  format_.group = kWholeRow;
  for (i64 r = 0; r < shape_.rows; r++) {
    double top = 0;
    for (i64 c = 0; c < shape_.cols; c++) {
      double w = weights(r, c);
      weight_[at(r, c)] = w;
      top = std::max(top, std::fabs(w));
      float_granule_[static_cast<std::size_t>(r)] = std::min(float_granule_[static_cast<std::size_t>(r)], lowest_bit(w));
    }
    // Floats are multiplied as they are; codes may be unsigned beside a minimum.
    for (i64 c = 0; c < shape_.cols; c++) parts_[at(r, c)] = std::fabs(weights(r, c)) + (input.bits > 0 ? 4 * top : 0);
  }
}

Verdict Judge::operator()(Matrix<const float> x, i64 t, i64 r) const {
  double want = 0, size = 0, rounded = 0, granule = kInfinity;
  for (i64 c = 0; c < shape_.cols; c++) {
    double v = x(t, c);
    want += weight_[at(r, c)] * v;
    size += parts_[at(r, c)] * std::fabs(v);
    // VDPBF16PS takes what is below 2^-126 for 0, operands and sums.
    if (input_ != &float_input()) rounded += (parts_[at(r, c)] + 1) * 0x1p-126;
    if (level_rounding_ > 0) rounded += level_rounding_ * scale_[static_cast<std::size_t>(r * groups_ + format_.group_of(c))] * std::fabs(v);
    granule = std::min(granule, lowest_bit(v));
  }
  // A weight takes three roundings, each of the cols sums one; below the smallest number each may lose that.
  const double bound = static_cast<double>(shape_.cols + 4) * (size * kHalfUlp * 1.01 + kSmallest) + rounded;
  granule *= float_granule_[static_cast<std::size_t>(r)];
  return {want, bound, rounded == 0 && granule >= kSmallest && size <= granule * 0x1p24, {}};
}

Verdict Judge::operator()(const Codes& x, i64 t, i64 r) const {
  const i64 cols = shape_.cols;
  double want = 0;
  // What sums are taken of without rounding: as documented, or else single products.
  const i64 whole = kPassCols, input_group = input_->group == kRowGroup ? whole : input_->group;
  const i64 span = !has_order_ ? 1 : format_.group == 16 ? 16 : std::gcd(format_.group == kWholeRow ? whole : format_.group, input_group);
  const bool late = input_->bits > 8 || input_->group != (format_.group == 16 ? 32 : span);
  double size = 0, parts = 0, rounded = 0, granule = kInfinity;
  float y = 0, s = 0;
  i64 sums = 0;
  for (i64 from = 0; from < cols; from += span) {
    const i64 to = std::min(cols, from + span);
    const std::size_t g = static_cast<std::size_t>(r * groups_ + format_.group_of(from));
    const float scale = x.scale_of(t, from);
    std::int64_t dot = 0, sum = 0;
    for (i64 c = from; c < to; c++) {
      const std::int64_t code = x.at(t, c);
      dot += code * level_[at(r, c)];
      sum += code;
      rounded += std::fabs(static_cast<double>(code)) * scale * scale_[g];
      want += weight_[at(r, c)] * static_cast<double>(code) * scale;
      parts += std::fabs(static_cast<double>(code)) * scale *
               (has_order_ ? std::fabs(double{d_[g]} * level_[at(r, c)]) + std::fabs(double{m_[g]}) : parts_[at(r, c)]);
    }
    granule = std::min(granule, lowest_bit(scale));
    sums++;
    if (!has_order_) continue;
    size += scale * (std::fabs(static_cast<double>(d_[g]) * static_cast<double>(dot)) + std::fabs(static_cast<double>(m_[g]) * static_cast<double>(sum)));
    const auto dot_float = static_cast<float>(dot), sum_float = static_cast<float>(sum);
    if (late) {
      s = std::fma(dot_float, d_[g], s);
      if (has_sum_) s = std::fma(m_[g], sum_float, s);
      if (to == cols || to % x.group == 0) y = std::fma(s, scale, y), s = 0;
    } else {
      y = std::fma(dot_float, d_[g] * scale, y);
      if (has_sum_) y = std::fma(m_[g], scale * sum_float, y);
    }
  }
  if (!has_order_) size = 4 * parts, rounded *= level_rounding_;  // unknown parts: a level and its offset may each be larger than the weight
  // Per sum two roundings, per scale of the input one, and of the factors at most six.
  const double bound = static_cast<double>(2 * sums + x.groups() + 6) * (size * kHalfUlp * 1.01 + kSmallest) + (has_order_ ? 0 : rounded);
  granule *= granule_[static_cast<std::size_t>(r)];
  return {want, bound, has_order_ && granule >= kSmallest && parts <= granule * 0x1p24, has_order_ ? std::optional<float>(y) : std::nullopt};
}

}  // namespace bitkerf
