#include <algorithm>
#include <cmath>
#include <optional>

#include "compress/quantizers/descent.h"
#include "compress/quantizers/feedback.h"
#include "compress/quantizers/round_to_nearest.h"

namespace bitkerf {
namespace {

struct Fit {
  float scale = 0, minimum = 0;
};

// Weighted squared error of one group, and what a least squares fit of (scale, minimum) to its levels needs.
struct Sums {
  double error = 0, h = 0, l = 0, ll = 0, w = 0, wl = 0;
};

class GroupSearch {
 public:
  explicit GroupSearch(const NumberFormat& format) : format_(format), grid_(format.grid), affine_(grid_.is_affine()) {
    if (affine_ || grid_.sorted_values().size() > kFewLevels) return;
    levels_ = grid_.sorted_values();
    for (std::size_t i = 1; i < levels_.size(); i++) middles_.push_back((levels_[i - 1] + levels_[i]) / 2);
  }

  Fit best(const float* w, const float* h, i64 count) {
    float low = w[0], high = w[0];
    for (i64 i = 1; i < count; i++) low = std::min(low, w[i]), high = std::max(high, w[i]);
    w_ = w, h_ = h, count_ = count;
    best_ = {};
    least_ = INFINITY;
    if (format_.has_minimum) {
      float span = grid_.highest() - grid_.lowest(), middle = (low + high) / 2;
      for (float factor : {1.0f, 0.9f, 0.8f, 0.7f, 0.6f}) {
        float scale = (high - low) * factor / span;
        attempt({scale, middle - scale * (grid_.highest() + grid_.lowest()) / 2}, 3);
      }
    } else {
      float need = 0;
      if (grid_.highest() > 0) need = std::max(need, high / grid_.highest());
      if (grid_.lowest() < 0) need = std::max(need, low / grid_.lowest());
      for (int i = 0; i < 12; i++) attempt({need * (1.02f - 0.055f * static_cast<float>(i)), 0}, 0);
      Fit found = best_;
      attempt(found, 2);
    }
    return best_;
  }

 private:
  // As many comparisons per weight, for eight weights at once, are faster than a search for each.
  static constexpr std::size_t kFewLevels = 32;

  // Tries a fit as it would be stored, then `refits` times the one of least squares for the levels that came out.
  void attempt(Fit fit, int refits) {
    for (int i = 0;; i++) {
      fit.scale = stored(*format_.scale, std::max(fit.scale, 0.0f));
      if (format_.has_minimum) fit.minimum = stored_minimum(fit.minimum);
      Sums s = sums(fit);
      if (s.error < least_) least_ = s.error, best_ = fit;
      if (i == refits) return;
      if (format_.has_minimum) {
        double det = s.h * s.ll - s.l * s.l;
        if (!(det > 1e-12 * s.h * s.ll)) return;
        fit.scale = static_cast<float>((s.h * s.wl - s.l * s.w) / det);
        fit.minimum = static_cast<float>((s.w * s.ll - s.l * s.wl) / det);
      } else {
        if (!(s.ll > 0)) return;
        fit.scale = static_cast<float>(s.wl / s.ll);
      }
      if (!(fit.scale > 0)) return;
    }
  }

  // Multiples of a row's float16 are rounded when all groups of the row are known.
  static float stored(const ScaleType& type, float v) { return type.of_row ? v : type.round(v); }
  float stored_minimum(float minimum) const {
    return std::copysign(stored(minimum_type(*format_.scale), std::fabs(minimum)), minimum);
  }

  Sums sums(Fit fit) const {
    constexpr int kLanes = 8;
    float error[kLanes] = {}, h[kLanes] = {}, l[kLanes] = {}, ll[kLanes] = {}, w[kLanes] = {}, wl[kLanes] = {};
    float inverse = fit.scale > 0 ? 1 / fit.scale : 0;
    const float low = grid_.lowest(), high = grid_.highest(), step = affine_ ? static_cast<float>(grid_.step()) : 1, unit = 1 / step;
    float level[kLanes], value[kLanes], weight[kLanes];
    for (i64 first = 0; first < count_; first += kLanes) {
      int n = static_cast<int>(std::min<i64>(kLanes, count_ - first));
      for (int i = 0; i < kLanes; i++) {
        value[i] = i < n ? w_[first + i] : 0;
        weight[i] = i < n ? h_[first + i] : 0;
      }
      if (affine_) {
        for (int i = 0; i < kLanes; i++) {
          float v = (value[i] - fit.minimum) * inverse;
          v = v < low ? low : v;
          v = v > high ? high : v;
          level[i] = low + step * (((v - low) * unit + 12582912.0f) - 12582912.0f);  // 1.5 * 2^23: rounds
        }
      } else if (!levels_.empty()) {
        float v[kLanes];
        for (int i = 0; i < kLanes; i++) v[i] = (value[i] - fit.minimum) * inverse, level[i] = levels_[0];
        for (std::size_t j = 1; j < levels_.size(); j++) {
          const float middle = middles_[j - 1], above = levels_[j];
          for (int i = 0; i < kLanes; i++) level[i] = v[i] > middle ? above : level[i];
        }
      } else {
        for (int i = 0; i < kLanes; i++) level[i] = grid_.value(grid_.nearest((value[i] - fit.minimum) * inverse));
      }
      for (int i = 0; i < kLanes; i++) {
        float d = value[i] - (fit.scale * level[i] + fit.minimum), hl = weight[i] * level[i];
        error[i] += weight[i] * d * d;
        h[i] += weight[i];
        l[i] += hl;
        ll[i] += hl * level[i];
        w[i] += weight[i] * value[i];
        wl[i] += hl * value[i];
      }
    }
    Sums s;
    for (int i = 0; i < kLanes; i++) s.error += error[i], s.h += h[i], s.l += l[i], s.ll += ll[i], s.w += w[i], s.wl += wl[i];
    return s;
  }

  const NumberFormat& format_;
  const Grid& grid_;
  bool affine_;
  std::vector<float> levels_, middles_;  // ascending; of a table of few levels
  const float *w_ = nullptr, *h_ = nullptr;
  i64 count_ = 0;
  Fit best_;
  double least_ = 0;
};

// The same for codes that stand for several weights: from the scale that puts the group's root mean square on the grid's (or
// its largest weight on the grid's reach) by least squares. A look for the nearest point costs so much that few are taken.
class PointSearch {
 public:
  explicit PointSearch(const NumberFormat& format) : format_(format), grid_(format.grid) {}

  float best(const float* w, const float* h, i64 count) const {
    double h_sum = 0, squares = 0;
    float largest = 0;
    for (i64 i = 0; i < count; i++) {
      h_sum += h[i];
      squares += double{h[i]} * w[i] * w[i];
      largest = std::max(largest, std::fabs(w[i]));
    }
    if (!(squares > 0)) return 0;
    float scale = grid_.rms() > 0 ? static_cast<float>(std::sqrt(squares / h_sum)) / grid_.rms() : largest / grid_.reach(), found = scale;
    double least = INFINITY;
    for (int i = 0; i < 3; i++) {
      if (!format_.scale->of_row) scale = format_.scale->round(scale);
      if (!(scale > 0)) break;
      double error = 0, ll = 0, wl = 0;
      const float inverse = 1 / scale;
      for (i64 at = 0; at < count; at += grid_.dimension()) {
        const i64 width = std::min<i64>(grid_.dimension(), count - at);
        float point[8] = {};
        for (i64 j = 0; j < width; j++) point[j] = w[at + j] * inverse;
        const int code = grid_.nearest(point);
        for (i64 j = 0; j < width; j++) {
          const double l = grid_.value(code, static_cast<int>(j)), d = w[at + j] - scale * l, weight = h[at + j];
          error += weight * d * d;
          ll += weight * l * l;
          wl += weight * w[at + j] * l;
        }
      }
      if (error < least) least = error, found = scale;
      if (!(ll > 0)) break;
      scale = static_cast<float>(wl / ll);
    }
    return found;
  }

 private:
  const NumberFormat& format_;
  const Grid& grid_;
};

}  // namespace

Quantized search_scales(Matrix<const float> weights, const NumberFormat& format, std::span<const float> importance, Threads& threads) {
  if (format.row_tables || format.group_rows > 1 || format.scale->tensor_scale || !format.open_parameter.empty())
    return round_to_nearest(weights, format, scale_rules::squared_error, &threads);
  CHECK_EQ(static_cast<i64>(importance.size()), weights.cols);
  Quantized q = Quantized::zeros(format, {weights.rows, weights.cols});
  i64 width = format.group == kWholeRow ? weights.cols : format.group;
  threads.split(weights.rows, [&](i64 first_row, i64 last_row) {
    std::optional<GroupSearch> search;
    if (format.grid.dimension() == 1) search.emplace(format);
    const PointSearch points(format);
    for (i64 r = first_row; r < last_row; r++) {
      for (i64 first = 0, g = 0; first < weights.cols; first += width, g++) {
        const i64 count = std::min(width, weights.cols - first);
        const float *w = weights.row(r) + first, *h = importance.data() + first;
        Fit fit = search ? search->best(w, h, count) : Fit{points.best(w, h, count), 0};
        q.scales(r, g) = fit.scale;
        if (format.has_minimum) q.minima(r, g) = fit.minimum;
      }
      if (format.scale->of_row) q.round_scales(r);
    }
  });
  return q;
}

FeedbackResult quantize_with_feedback(Matrix<const float> weights, const NumberFormat& format, const Hessian& hessian,
                                      const FeedbackOptions& options, Threads& threads) {
  const HessianFactor& factor = hessian.factor(options.order, options.damping, format.grid.dimension());
  std::vector<float> importance(static_cast<std::size_t>(weights.cols));
  for (i64 k = 0; k < weights.cols; k++) {
    i64 c = factor.order[static_cast<std::size_t>(k)];
    importance[static_cast<std::size_t>(c)] = static_cast<float>(hessian.moment()(c, c) + factor.damping);
  }
  const bool again = options.searches > 1;
  FeedbackResult best = round_with_feedback(weights, search_scales(weights, format, importance, threads), factor, threads, again);
  for (int i = 1; i < options.searches && again; i++) {
    Matrix<const float> targets(best.targets.data(), weights.rows, weights.cols);
    Quantized scales = search_scales(targets, best.quantized.format, importance, threads);
    FeedbackResult next = round_with_feedback(weights, scales, factor, threads, i + 1 < options.searches);
    for (i64 r = 0; r < weights.rows; r++) {
      auto row = static_cast<std::size_t>(r);
      if (format.group_rows > 1 || !(next.row_damped[row] < best.row_damped[row])) continue;
      std::copy_n(next.quantized.codes.view().row(r), next.quantized.codes.cols(), best.quantized.codes.view().row(r));
      std::copy_n(next.quantized.scales.view().row(r), next.quantized.scales.cols(), best.quantized.scales.view().row(r));
      if (format.scale->of_row)
        std::copy_n(next.quantized.row_scales.view().row(r), next.quantized.row_scales.cols(), best.quantized.row_scales.view().row(r));
      if (format.has_minimum) std::copy_n(next.quantized.minima.view().row(r), next.quantized.minima.cols(), best.quantized.minima.view().row(r));
      best.row_error[row] = next.row_error[row], best.row_damped[row] = next.row_damped[row];
      best.row_bound[row] = next.row_bound[row], best.row_clipped[row] = next.row_clipped[row];
      if (!next.targets.empty()) std::copy_n(next.targets.data() + r * weights.cols, weights.cols, best.targets.data() + r * weights.cols);
    }
  }
  best.targets = {};
  improve_with_beam(weights, factor, options.beam, threads, best);
  if (options.sweeps > 0) {
    std::vector<double> fall(best.row_damped.size());
    descend({weights, hessian.moment(), factor.damping, options.sweeps}, best.quantized, fall, threads);
    for (i64 r = 0; r < weights.rows; r++) {
      auto row = static_cast<std::size_t>(r);
      if (!(fall[row] < 0)) continue;
      double squares = 0;
      for (i64 c = 0; c < weights.cols; c++) {
        const double d = double{weights(r, c)} - best.quantized.weight(r, c);
        squares += d * d;
      }
      best.row_damped[row] = std::max(0.0, best.row_damped[row] + fall[row]);
      best.row_error[row] = std::max(0.0, best.row_damped[row] - factor.damping * squares);
    }
  }
  return best;
}

}  // namespace bitkerf
