#include "compress/plan/knapsack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace bitkerf {
namespace {

// Options as layers have them: fewer bytes, more harm; seconds follow bytes loosely.
Knapsack random_problem(unsigned seed, int items, int options, int limits, double tightness) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> unit(0, 1);
  Knapsack problem;
  std::array<double, kMostLimits> least = {}, most = {};
  for (int i = 0; i < items; i++) {
    double size = std::exp(2 * unit(random)), harm = std::exp(4 * unit(random));
    std::vector<Option> row;
    std::array<double, kMostLimits> low, high = {};
    low.fill(1e300);
    for (int o = 0; o < options; o++) {
      double bits = 2 + 6 * unit(random);
      Option option{harm * std::pow(4.0, -bits) * (0.8 + 0.4 * unit(random)), {}};
      for (int k = 0; k < limits; k++) {
        auto at = static_cast<std::size_t>(k);
        option.use[at] = size * (k == 0 ? bits : 1 + bits * unit(random));
        low[at] = std::min(low[at], option.use[at]), high[at] = std::max(high[at], option.use[at]);
      }
      row.push_back(option);
    }
    for (std::size_t k = 0; k < kMostLimits; k++)
      if (static_cast<int>(k) < limits) least[k] += low[k], most[k] += high[k];
    problem.items.push_back(row);
  }
  for (int k = 0; k < limits; k++) {
    auto at = static_cast<std::size_t>(k);
    problem.limits.push_back(least[at] + tightness * (most[at] - least[at]));
  }
  return problem;
}

double brute_force(const Knapsack& problem, std::size_t item, double cost, std::array<double, kMostLimits> used) {
  for (std::size_t k = 0; k < problem.limits.size(); k++)
    if (used[k] > problem.limits[k] * (1 + 1e-12)) return std::numeric_limits<double>::infinity();
  if (item == problem.items.size()) return cost;
  double best = std::numeric_limits<double>::infinity();
  for (const Option& option : problem.items[item]) {
    std::array<double, kMostLimits> next = used;
    for (std::size_t k = 0; k < kMostLimits; k++) next[k] += option.use[k];
    best = std::min(best, brute_force(problem, item + 1, cost + option.cost, next));
  }
  return best;
}

void expect_within(const Knapsack& problem, const Selection& selection) {
  double cost = 0;
  std::array<double, kMostLimits> used = {};
  ASSERT_EQ(selection.chosen.size(), problem.items.size());
  for (std::size_t i = 0; i < problem.items.size(); i++) {
    const Option& option = problem.items[i].at(static_cast<std::size_t>(selection.chosen[i]));
    cost += option.cost;
    for (std::size_t k = 0; k < kMostLimits; k++) used[k] += option.use[k];
  }
  EXPECT_EQ(cost, selection.cost);
  EXPECT_EQ(used, selection.used);
  EXPECT_LE(selection.bound, selection.cost);
  for (std::size_t k = 0; k < problem.limits.size(); k++) EXPECT_LE(used[k], problem.limits[k] * (1 + 1e-11));
}

TEST(Knapsack, EqualsBruteForce) {
  int infeasible = 0;
  for (unsigned seed = 0; seed < 60; seed++) {
    for (int limits : {1, 2, 3}) {
      // 10 layers x 4 options with two limits; fewer layers where brute force would take long otherwise.
      int items = seed < 12 ? 10 : 7;
      Knapsack problem = random_problem(seed, items, 4, limits, 0.05 + 0.05 * (seed % 12));
      double expected = brute_force(problem, 0, 0, {});
      std::optional<Selection> found = choose(problem, {.tolerance = 0});
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", limits " << limits);
      ASSERT_EQ(found.has_value(), std::isfinite(expected));
      if (!found) {
        infeasible++;
        continue;
      }
      expect_within(problem, *found);
      EXPECT_NEAR(found->cost, expected, 1e-12 * expected);
      EXPECT_NEAR(found->bound, expected, 1e-9 * expected);
    }
  }
  EXPECT_GT(infeasible, 0);  // otherwise that path was not tested
}

TEST(Knapsack, LargeProblemsAreWithinAThousandthOfTheBound) {
  for (int limits : {1, 2}) {
    for (double tightness : {0.05, 0.1, 0.2, 0.35, 0.5, 0.8}) {
      if (limits == 2 && tightness < 0.2) continue;  // both cannot be met
      Knapsack problem = random_problem(7, 210, 10, limits, tightness);
      std::optional<Selection> found = choose(problem);
      ASSERT_TRUE(found);
      expect_within(problem, *found);
      EXPECT_LE(found->gap(), 1e-3) << limits << " limits, tightness " << tightness;
    }
  }
}

TEST(Knapsack, LooserLimitsNeverCostMore) {
  double last = std::numeric_limits<double>::infinity();
  for (double tightness = 0; tightness <= 1.01; tightness += 0.05) {
    std::optional<Selection> found = choose(random_problem(3, 50, 8, 1, tightness), {.tolerance = 0});
    ASSERT_TRUE(found);
    EXPECT_LE(found->cost, last);
    last = found->cost;
  }
}

TEST(Knapsack, InfiniteAndAbsentLimitsAreNone) {
  Knapsack problem = random_problem(1, 20, 5, 2, 0.3);
  double least = 0;
  for (const auto& item : problem.items) {
    double of_item = item[0].cost;
    for (const Option& option : item) of_item = std::min(of_item, option.cost);
    least += of_item;
  }
  problem.limits = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  EXPECT_DOUBLE_EQ(choose(problem)->cost, least);
  problem.limits = {};
  EXPECT_DOUBLE_EQ(choose(problem)->cost, least);
}

TEST(Knapsack, NearestNamesWhatIsPossible) {
  Knapsack problem = random_problem(5, 30, 5, 1, 0);
  double least = problem.limits[0];
  problem.limits[0] = least * 0.7;
  EXPECT_FALSE(choose(problem));
  EXPECT_NEAR(nearest(problem).used[0], least, 1e-3 * least);
}

}  // namespace
}  // namespace bitkerf
