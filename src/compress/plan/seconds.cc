#include "compress/plan/seconds.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/check.h"

namespace bitkerf {
namespace {

// Decode and prefill are treated alike.
struct Kind {
  double Candidate::* seconds;
  double PlanProblem::* fixed;
  double MeasuredPlan::* measured;
};
constexpr Kind kKinds[] = {{&Candidate::seconds_decode, &PlanProblem::fixed_decode, &MeasuredPlan::seconds_decode},
                           {&Candidate::seconds_prefill, &PlanProblem::fixed_prefill, &MeasuredPlan::seconds_prefill}};

const Candidate& taken(const PlanProblem& problem, const std::vector<int>& chosen, std::size_t layer) {
  return problem.layers[layer].candidates[static_cast<std::size_t>(chosen[layer])];
}

// Besides products a model takes at least and at most this part of its time: where predictions of products are far off, the rest
// must not swallow what they miss.
constexpr double kLeastRest = 0.05, kMostRest = 0.5;
constexpr int kSweeps = 30;

void fit_kind(PlanProblem& problem, std::span<const MeasuredPlan> measured, const Kind& kind) {
  // Predicted seconds of every recipe in every measured plan.
  struct Row {
    double measured = 0, predicted = 0;
    std::map<std::string, double> of;
    std::string main;  // the recipe with most of them
  };
  std::vector<Row> rows;
  for (const MeasuredPlan& plan : measured) {
    if (plan.*kind.measured <= 0) continue;
    Row row;
    row.measured = plan.*kind.measured;
    for (std::size_t i = 0; i < problem.layers.size(); i++) {
      const Candidate& c = taken(problem, plan.chosen, i);
      row.of[c.recipe] += c.*kind.seconds;
      row.predicted += c.*kind.seconds;
    }
    for (const auto& [recipe, seconds] : row.of)
      if (row.main.empty() || seconds > row.of[row.main]) row.main = recipe;
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return;
  std::vector<double> rests;
  double least = INFINITY;
  for (const Row& row : rows) rests.push_back(row.measured - row.predicted), least = std::min(least, row.measured);
  std::nth_element(rests.begin(), rests.begin() + static_cast<std::ptrdiff_t>(rests.size() / 2), rests.end());
  const double fixed = std::clamp(rests[rests.size() / 2], kLeastRest * least, kMostRest * least);
  // Each plan says what its main recipe's factor is, given the others'.
  std::map<std::string, double> factor;
  for (const Row& row : rows)
    for (const auto& [recipe, seconds] : row.of) factor.emplace(recipe, (row.measured - fixed) / row.predicted);
  for (int sweep = 0; sweep < kSweeps; sweep++)
    for (const Row& row : rows) {
      double others = fixed;
      for (const auto& [recipe, seconds] : row.of)
        if (recipe != row.main) others += factor[recipe] * seconds;
      const double own = row.of.at(row.main);
      // What a product costs may be overestimated, but is not nothing.
      if (own > 0) factor[row.main] = std::max(row.measured - others, 0.05 * row.measured) / own;
    }
  double mean = 0;
  for (const auto& [recipe, f] : factor) mean += f / static_cast<double>(factor.size());
  problem.*kind.fixed = fixed;
  for (PlanLayer& layer : problem.layers)
    for (Candidate& c : layer.candidates) {
      auto known = factor.find(c.recipe);
      c.*kind.seconds *= known == factor.end() ? mean : known->second;
    }
}

}  // namespace

std::vector<int> uniform_choice(const PlanProblem& problem, const std::string& recipe) {
  double bits = 0, weights = 0;  // of the layers that have it
  for (const PlanLayer& layer : problem.layers)
    for (const Candidate& c : layer.candidates)
      if (c.recipe == recipe) bits += 8 * static_cast<double>(c.bytes), weights += static_cast<double>(layer.weights);
  if (weights > 0) bits /= weights;
  std::vector<int> chosen;
  for (const PlanLayer& layer : problem.layers) {
    auto distance = [&](const Candidate& c) {
      return c.recipe == recipe ? -1 : std::abs(8 * static_cast<double>(c.bytes) / static_cast<double>(std::max<i64>(layer.weights, 1)) - bits);
    };
    auto nearest = std::min_element(layer.candidates.begin(), layer.candidates.end(), [&](const Candidate& a, const Candidate& b) { return distance(a) < distance(b); });
    chosen.push_back(static_cast<int>(nearest - layer.candidates.begin()));
  }
  return chosen;
}

std::vector<std::string> candidate_recipes(const PlanProblem& problem) {
  std::vector<std::string> recipes;
  for (const PlanLayer& layer : problem.layers)
    for (const Candidate& c : layer.candidates)
      if (std::find(recipes.begin(), recipes.end(), c.recipe) == recipes.end()) recipes.push_back(c.recipe);
  return recipes;
}

void fit_seconds(PlanProblem& problem, std::span<const MeasuredPlan> measured) {
  for (const MeasuredPlan& plan : measured) CHECK_EQ(plan.chosen.size(), problem.layers.size());
  for (const Kind& kind : kKinds) fit_kind(problem, measured, kind);
}

void correct_seconds(PlanProblem& problem, const MeasuredPlan& measured) {
  CHECK_EQ(measured.chosen.size(), problem.layers.size());
  for (const Kind& kind : kKinds) {
    double predicted = problem.*kind.fixed;
    for (std::size_t i = 0; i < problem.layers.size(); i++) predicted += taken(problem, measured.chosen, i).*kind.seconds;
    if (measured.*kind.measured <= 0 || predicted <= 0) continue;
    const double ratio = measured.*kind.measured / predicted;
    problem.*kind.fixed *= ratio;
    for (PlanLayer& layer : problem.layers)
      for (Candidate& c : layer.candidates) c.*kind.seconds *= ratio;
  }
}

}  // namespace bitkerf
