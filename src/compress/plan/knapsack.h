// The multiple-choice knapsack: of every item exactly one option, so that the sum of costs is small and no limit is
// exceeded. Lagrange multipliers give a bound that no choice can beat and tell which options can still matter; dynamic
// programming over those finds the choice. Pure: the same problem gives the same answer.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "core/view.h"

namespace bitkerf {

inline constexpr int kMostLimits = 3;

struct Option {
  double cost = 0;
  std::array<double, kMostLimits> use = {};  // of each limit, >= 0
};

struct Knapsack {
  std::vector<std::vector<Option>> items;  // none empty
  std::vector<double> limits;              // at most kMostLimits, >= 0; infinity: none
};

struct Selection {
  std::vector<int> chosen;  // an option per item
  double cost = 0;
  std::array<double, kMostLimits> used = {};
  double bound = 0;         // no choice within the limits costs less
  // Of the cost: how much less the best choice may cost, at most.
  double gap() const { return cost > 0 ? (cost - bound) / cost : 0; }
};

struct KnapsackOptions {
  double tolerance = 1e-5;   // a gap that is good enough; 0: the best choice, proven
  i64 most_states = 1 << 17; // kept after each item; when more would matter, the most promising ones go on
};

// Nothing when no choice is within the limits (or, with several limits, none was found: then `tightest` helps).
std::optional<Selection> choose(const Knapsack& problem, const KnapsackOptions& options = {});

// The choice of least max(used / limit), and of the least cost among those found: what is nearest when choose() finds none.
Selection nearest(const Knapsack& problem);

}  // namespace bitkerf
