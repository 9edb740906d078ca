#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <tuple>

#include "compress/plan/cost_table.h"

namespace bitkerf {
namespace {

Distribution distribution(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  auto at = [&](double share) { return values[std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size())))]; };
  return {at(0.5), at(0.95), values.back()};
}

double r_squared(std::span<const double> truth, std::span<const double> predicted) {
  double mean = std::accumulate(truth.begin(), truth.end(), 0.0) / static_cast<double>(truth.size()), error = 0, variance = 0;
  for (std::size_t i = 0; i < truth.size(); i++) {
    error += (truth[i] - predicted[i]) * (truth[i] - predicted[i]);
    variance += (truth[i] - mean) * (truth[i] - mean);
  }
  return 1 - error / std::max(variance, 1e-300);
}

std::vector<double> ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> rank(values.size());
  for (std::size_t i = 0; i < order.size(); i++) rank[order[i]] = static_cast<double>(i);
  return rank;
}

using ShapeKey = std::tuple<i64, i64, i64>;
ShapeKey shape_of(const Work& w) { return {w.rows, w.cols, w.tokens}; }
// What is compared in one choice: everything but kernel (and format).
using ChoiceKey = std::tuple<i64, i64, i64, int, bool, std::string>;

struct Regrets {
  std::vector<double> forest, best_of_three, roofline, fixed;
};

Evaluation::Choice choices(std::span<const TimedWork> rows, std::span<const double> predicted, const Probe& probe, bool one_format) {
  std::map<ChoiceKey, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < rows.size(); i++) {
    const Work& w = rows[i].work;
    groups[{w.rows, w.cols, w.tokens, w.threads, w.cold, one_format ? w.format + " " + w.activation : ""}].push_back(i);
  }
  auto name = [&](std::size_t i) {
    const Work& w = rows[i].work;
    return one_format ? w.kernel : w.kernel + " " + w.format + " " + w.activation;
  };
  // The fixed choice: of the kernels that are there most often, the one with the least mean log(time / best).
  std::map<std::string, std::pair<double, i64>> means;
  for (const auto& [key, members] : groups) {
    if (members.size() < 2) continue;
    double best = 1e300;
    for (std::size_t i : members) best = std::min(best, rows[i].seconds);
    for (std::size_t i : members) {
      auto& [sum, count] = means[name(i)];
      sum += std::log(rows[i].seconds / best);
      count++;
    }
  }
  i64 most = 0;
  for (const auto& [kernel, mean] : means) most = std::max(most, mean.second);
  std::string fixed;
  double least = 1e300;
  for (const auto& [kernel, mean] : means)
    if (2 * mean.second > most && mean.first / static_cast<double>(mean.second) < least)
      least = mean.first / static_cast<double>(mean.second), fixed = kernel;

  Regrets regrets;
  for (auto& [key, members] : groups) {
    if (members.size() < 2) continue;
    double best = 1e300, roofline = 1e300, of_roofline = 0, of_fixed = 0;
    for (std::size_t i : members) {
      best = std::min(best, rows[i].seconds);
      if (double bound = roofline_seconds(rows[i].work, probe); bound < roofline) roofline = bound, of_roofline = rows[i].seconds;
      if (name(i) == fixed) of_fixed = rows[i].seconds;
    }
    std::sort(members.begin(), members.end(), [&](std::size_t a, std::size_t b) { return predicted[a] < predicted[b]; });
    double three = 1e300;
    for (std::size_t i = 0; i < std::min<std::size_t>(3, members.size()); i++) three = std::min(three, rows[members[i]].seconds);
    regrets.forest.push_back(rows[members[0]].seconds / best);
    regrets.best_of_three.push_back(three / best);
    regrets.roofline.push_back(of_roofline / best);
    if (of_fixed > 0) regrets.fixed.push_back(of_fixed / best);
  }
  return {distribution(regrets.forest), distribution(regrets.best_of_three), distribution(regrets.roofline), distribution(regrets.fixed),
          static_cast<i64>(regrets.forest.size())};
}

}  // namespace

Evaluation evaluate(std::span<const TimedWork> rows, const Probe& probe, int folds, const ForestOptions& options, Threads& threads) {
  CHECK_GE(folds, 2);
  Evaluation result;
  result.fold.resize(rows.size());
  result.predicted.resize(rows.size());
  result.factor.resize(rows.size());
  // Shapes are dealt out in an order that has nothing to do with their size.
  std::map<ShapeKey, int> fold_of;
  for (const TimedWork& row : rows) fold_of[shape_of(row.work)] = 0;
  std::vector<std::pair<std::uint64_t, ShapeKey>> order;
  for (const auto& [shape, fold] : fold_of) {
    auto [a, b, c] = shape;
    std::uint64_t h = 0xcbf29ce484222325;
    for (i64 v : {a, b, c}) h = (h ^ static_cast<std::uint64_t>(v)) * 0x100000001b3, h ^= h >> 29;
    order.push_back({h, shape});
  }
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); i++) fold_of[order[i].second] = static_cast<int>(i % static_cast<std::size_t>(folds));
  result.shapes = static_cast<i64>(order.size());
  for (std::size_t i = 0; i < rows.size(); i++) result.fold[i] = fold_of[shape_of(rows[i].work)];

  for (int fold = 0; fold < folds; fold++) {
    std::vector<TimedWork> seen;
    std::vector<Work> unseen;
    std::vector<std::size_t> where;
    for (std::size_t i = 0; i < rows.size(); i++)
      if (result.fold[i] == fold) unseen.push_back(rows[i].work), where.push_back(i);
      else seen.push_back(rows[i]);
    if (seen.empty() || unseen.empty()) continue;
    std::vector<CostModel::Estimate> estimates = CostModel::train(seen, probe, options, threads).estimate(unseen, threads);
    for (std::size_t i = 0; i < where.size(); i++) result.predicted[where[i]] = estimates[i].seconds, result.factor[where[i]] = estimates[i].factor;
  }

  std::vector<double> errors, truth, guess, log_truth, log_guess, seconds;
  for (std::size_t i = 0; i < rows.size(); i++) {
    double bound = roofline_seconds(rows[i].work, probe);
    errors.push_back(std::fabs(result.predicted[i] / rows[i].seconds - 1));
    truth.push_back(std::log(rows[i].seconds / bound));
    guess.push_back(std::log(std::max(result.predicted[i], 1e-12) / bound));
    log_truth.push_back(std::log(rows[i].seconds));
    log_guess.push_back(std::log(std::max(result.predicted[i], 1e-12)));
    seconds.push_back(rows[i].seconds);
  }
  result.error = distribution(errors);
  result.r2 = r_squared(truth, guess);
  result.r2_log_seconds = r_squared(log_truth, log_guess);
  std::vector<double> rank_truth = ranks(seconds), rank_guess = ranks(result.predicted);
  double n = static_cast<double>(rows.size()), sum = 0;
  for (std::size_t i = 0; i < rows.size(); i++) sum += (rank_truth[i] - rank_guess[i]) * (rank_truth[i] - rank_guess[i]);
  result.rank_correlation = n > 1 ? 1 - 6 * sum / (n * (n * n - 1)) : 1;
  result.all = choices(rows, result.predicted, probe, false);
  result.one_format = choices(rows, result.predicted, probe, true);
  return result;
}

}  // namespace bitkerf
