#include "compress/plan/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "core/check.h"

namespace bitkerf {
namespace {

using Uses = std::array<double, kMostLimits>;
constexpr double kNever = std::numeric_limits<double>::infinity();
// Sums of some hundred uses in another order differ by this much of the limit at most.
constexpr double kRounding = 1e-12;

// The problem in units of its limits, without the options that another one beats in everything.
struct Scaled {
  int limits = 0;
  struct Item {
    std::vector<Option> options;
    std::vector<int> original;  // of each option, its place in the problem
  };
  std::vector<Item> items;

  explicit Scaled(const Knapsack& problem) {
    std::vector<int> finite;
    for (std::size_t k = 0; k < problem.limits.size(); k++)
      if (std::isfinite(problem.limits[k])) finite.push_back(static_cast<int>(k));
    limits = static_cast<int>(finite.size());
    for (const std::vector<Option>& options : problem.items) {
      CHECK(!options.empty());
      Item all;
      for (std::size_t i = 0; i < options.size(); i++) {
        Option scaled{options[i].cost, {}};
        for (int k = 0; k < limits; k++) {
          auto original = static_cast<std::size_t>(finite[static_cast<std::size_t>(k)]);
          double limit = problem.limits[original], use = options[i].use[original];
          scaled.use[static_cast<std::size_t>(k)] = limit > 0 ? use / limit : use > 0 ? 1e30 : 0;
        }
        all.options.push_back(scaled);
        all.original.push_back(static_cast<int>(i));
      }
      Item kept;
      for (std::size_t i = 0; i < all.options.size(); i++) {
        bool beaten = false;
        for (std::size_t j = 0; j < all.options.size() && !beaten; j++) beaten = j != i && beats(all.options[j], all.options[i], j < i);
        if (beaten) continue;
        kept.options.push_back(all.options[i]);
        kept.original.push_back(all.original[i]);
      }
      items.push_back(std::move(kept));
    }
  }

  // At least as good in everything; of equals the first beats the second.
  bool beats(const Option& a, const Option& b, bool first) const {
    bool better = a.cost < b.cost;
    if (a.cost > b.cost) return false;
    for (int k = 0; k < limits; k++) {
      auto i = static_cast<std::size_t>(k);
      if (a.use[i] > b.use[i]) return false;
      better |= a.use[i] < b.use[i];
    }
    return better || first;
  }
};

double priced(const Option& option, const Uses& prices) {
  double sum = option.cost;
  for (std::size_t k = 0; k < kMostLimits; k++) sum += prices[k] * option.use[k];
  return sum;
}

// The choice that is best when use has a price.
std::vector<int> best_at(const Scaled& problem, const Uses& prices) {
  std::vector<int> chosen;
  for (const Scaled::Item& item : problem.items) {
    int best = 0;
    for (std::size_t i = 1; i < item.options.size(); i++)
      if (priced(item.options[i], prices) < priced(item.options[static_cast<std::size_t>(best)], prices)) best = static_cast<int>(i);
    chosen.push_back(best);
  }
  return chosen;
}

// The Lagrangian: no feasible choice costs less, whatever the prices.
double bound_at(const Scaled& problem, const Uses& prices) {
  double sum = 0;
  for (const Scaled::Item& item : problem.items) {
    double best = kNever;
    for (const Option& option : item.options) best = std::min(best, priced(option, prices));
    sum += best;
  }
  for (double price : prices) sum -= price;
  return sum;
}

// Prices of the greatest bound. The bound is concave in the prices, so in the logarithm of each it has one top, and a golden
// section inside a golden section finds it.
double best_prices(const Scaled& problem, int limit, double scale, Uses& prices) {
  if (limit == problem.limits) return bound_at(problem, prices);
  constexpr double kGolden = 0.6180339887498949;
  auto k = static_cast<std::size_t>(limit);
  auto at = [&](double log_price) {
    prices[k] = scale * std::exp(log_price);
    return best_prices(problem, limit + 1, scale, prices);
  };
  double low = -30, high = 20;
  double a = high - kGolden * (high - low), b = low + kGolden * (high - low);
  double value_a = at(a), value_b = at(b);
  const int steps = problem.limits == 3 ? 44 : 64;
  for (int step = 0; step < steps; step++) {
    if (value_a >= value_b) high = b, b = a, value_b = value_a, a = high - kGolden * (high - low), value_a = at(a);
    else low = a, a = b, value_a = value_b, b = low + kGolden * (high - low), value_b = at(b);
  }
  return value_a >= value_b ? at(a) : at(b);
}

struct Total {
  double cost = 0;
  Uses use = {};
  bool feasible() const {
    for (double u : use)
      if (u > 1 + kRounding) return false;
    return true;
  }
  double excess() const {
    double sum = 0;
    for (double u : use) sum += std::max(0.0, u - 1);
    return sum;
  }
  void add(const Option& option, double sign = 1) {
    cost += sign * option.cost;
    for (std::size_t k = 0; k < kMostLimits; k++) use[k] += sign * option.use[k];
  }
};

Total total_of(const Scaled& problem, const std::vector<int>& chosen) {
  Total total;
  for (std::size_t i = 0; i < problem.items.size(); i++) total.add(problem.items[i].options[static_cast<std::size_t>(chosen[i])]);
  return total;
}

// Changes one item at a time: first until the limits hold, then as long as it saves cost.
void improve(const Scaled& problem, const Uses& prices, std::vector<int>& chosen) {
  Total total = total_of(problem, chosen);
  for (std::size_t round = 0; round < 20 * problem.items.size(); round++) {
    const bool repair = !total.feasible();
    double best = kNever;
    std::size_t best_item = 0;
    int best_option = -1;
    for (std::size_t i = 0; i < problem.items.size(); i++) {
      const std::vector<Option>& options = problem.items[i].options;
      const Option& old = options[static_cast<std::size_t>(chosen[i])];
      for (std::size_t o = 0; o < options.size(); o++) {
        if (static_cast<int>(o) == chosen[i]) continue;
        Total next = total;
        next.add(old, -1);
        next.add(options[o]);
        double value;
        if (repair) {
          double gained = total.excess() - next.excess();
          if (gained <= 0) continue;
          // As little loss per excess that it removes as possible; what removes more than there is wastes the rest.
          value = (priced(options[o], prices) - priced(old, prices) + 1e-300) / gained;
        } else {
          if (!next.feasible() || next.cost >= total.cost) continue;
          value = next.cost - total.cost;
        }
        if (value < best) best = value, best_item = i, best_option = static_cast<int>(o);
      }
    }
    if (best_option < 0) return;
    chosen[best_item] = best_option;
    total = total_of(problem, chosen);
  }
}

struct State {
  double cost, lost;  // lost: of the bound, by options that are not the best at the prices
  Uses use;
  int parent, option;
};

// Keeps no state that another beats in everything. Exact for one limit and for two; for three it compares the first two and
// the worse of cost and third use, so it keeps some that are beaten.
void drop_beaten(std::vector<State>& states, int limits) {
  std::sort(states.begin(), states.end(), [](const State& a, const State& b) {
    return std::tie(a.use[0], a.cost, a.use[1], a.use[2]) < std::tie(b.use[0], b.cost, b.use[1], b.use[2]);
  });
  std::size_t kept = 0;
  if (limits == 1) {
    double least = kNever;
    for (const State& state : states)
      if (state.cost < least) least = state.cost, states[kept++] = state;
  } else if (limits == 2) {
    std::map<double, double> stairs;  // second use -> least cost at no more than it; costs fall as uses grow
    for (const State& state : states) {
      auto above = stairs.upper_bound(state.use[1]);
      if (above != stairs.begin() && std::prev(above)->second <= state.cost) continue;
      while (above != stairs.end() && above->second >= state.cost) above = stairs.erase(above);
      stairs.insert_or_assign(state.use[1], state.cost);
      states[kept++] = state;
    }
  } else {
    kept = states.size();
  }
  states.resize(kept);
}

// Dynamic programming over the options that can lead to less than `best_cost`. Replaces `chosen` when it finds one.
// Whether the states that mattered were all kept.
bool search(const Scaled& problem, const Uses& prices, double bound, const KnapsackOptions& options, std::vector<int>& chosen, double& best_cost) {
  const double room = (best_cost - bound) - options.tolerance * best_cost / 2;
  if (room < 0) return true;
  const std::size_t n = problem.items.size();
  struct Choice {
    int option;
    double lost;
  };
  std::vector<std::vector<Choice>> open(n);
  std::vector<Uses> least_after(n + 1, Uses{});
  std::vector<std::size_t> order;
  std::vector<double> second;
  for (std::size_t i = 0; i < n; i++) {
    order.push_back(i);
    second.push_back(kNever);
    double best = kNever;
    for (const Option& option : problem.items[i].options) best = std::min(best, priced(option, prices));
    for (std::size_t o = 0; o < problem.items[i].options.size(); o++)
      if (double lost = priced(problem.items[i].options[o], prices) - best; lost <= room) open[i].push_back({static_cast<int>(o), lost});
    for (const Choice& choice : open[i])
      if (choice.lost > 0) second[i] = std::min(second[i], choice.lost);
  }
  // Items that can hardly change come first, so that few states meet the many; those with cheap choices come last, where they
  // fill what is left.
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return second[a] > second[b]; });
  for (std::size_t at = n; at-- > 0;) {
    Uses least;
    least.fill(kNever);
    for (const Choice& choice : open[order[at]])
      for (std::size_t k = 0; k < kMostLimits; k++)
        least[k] = std::min(least[k], problem.items[order[at]].options[static_cast<std::size_t>(choice.option)].use[k]);
    for (std::size_t k = 0; k < kMostLimits; k++) least_after[at][k] = least_after[at + 1][k] + least[k];
  }
  std::vector<std::vector<State>> levels(n + 1);
  levels[0].push_back({0, 0, {}, -1, -1});
  bool complete = true;
  for (std::size_t at = 0; at < n; at++) {
    const Scaled::Item& item = problem.items[order[at]];
    std::vector<State>& next = levels[at + 1];
    for (std::size_t s = 0; s < levels[at].size(); s++) {
      const State& state = levels[at][s];
      for (const Choice& choice : open[order[at]]) {
        State grown{state.cost, state.lost + choice.lost, state.use, static_cast<int>(s), choice.option};
        if (grown.lost > room) continue;
        const Option& option = item.options[static_cast<std::size_t>(choice.option)];
        grown.cost += option.cost;
        bool fits = true;
        for (std::size_t k = 0; k < kMostLimits; k++) {
          grown.use[k] += option.use[k];
          fits &= grown.use[k] + least_after[at + 1][k] <= 1 + kRounding;
        }
        if (fits) next.push_back(grown);
      }
    }
    if (open[order[at]].size() > 1) drop_beaten(next, problem.limits);
    if (static_cast<i64>(next.size()) > options.most_states) {
      complete = false;
      auto middle = next.begin() + options.most_states;
      std::nth_element(next.begin(), middle, next.end(), [](const State& a, const State& b) {
        return std::tie(a.lost, a.cost, a.use) < std::tie(b.lost, b.cost, b.use);
      });
      next.erase(middle, next.end());
      std::sort(next.begin(), next.end(), [](const State& a, const State& b) { return std::tie(a.parent, a.option) < std::tie(b.parent, b.option); });
    }
  }
  int best = -1;
  for (std::size_t s = 0; s < levels[n].size(); s++)
    if (levels[n][s].cost < best_cost) best = static_cast<int>(s), best_cost = levels[n][s].cost;
  if (best < 0) return complete;
  for (std::size_t at = n; at-- > 0;) {
    const State& state = levels[at + 1][static_cast<std::size_t>(best)];
    chosen[order[at]] = state.option;
    best = state.parent;
  }
  return complete;
}

Selection selection_of(const Knapsack& problem, const Scaled& scaled, const std::vector<int>& chosen, double bound) {
  Selection selection;
  selection.bound = bound;
  for (std::size_t i = 0; i < chosen.size(); i++) {
    int original = scaled.items[i].original[static_cast<std::size_t>(chosen[i])];
    const Option& option = problem.items[i][static_cast<std::size_t>(original)];
    selection.chosen.push_back(original);
    selection.cost += option.cost;
    for (std::size_t k = 0; k < kMostLimits; k++) selection.used[k] += option.use[k];
  }
  selection.bound = std::min(selection.bound, selection.cost);
  return selection;
}

}  // namespace

std::optional<Selection> choose(const Knapsack& problem, const KnapsackOptions& options) {
  CHECK(problem.limits.size() <= kMostLimits);
  Scaled scaled(problem);
  std::vector<int> chosen = best_at(scaled, {});
  if (Total total = total_of(scaled, chosen); total.feasible()) return selection_of(problem, scaled, chosen, total.cost);
  double spread = 0, most = 0;
  for (const Scaled::Item& item : scaled.items) {
    auto [low, high] = std::minmax_element(item.options.begin(), item.options.end(), [](const Option& a, const Option& b) { return a.cost < b.cost; });
    spread += high->cost - low->cost;
    most += high->cost;
  }
  for (int k = 0; k < scaled.limits; k++) {
    double least = 0;
    for (const Scaled::Item& item : scaled.items) {
      double of_item = kNever;
      for (const Option& option : item.options) of_item = std::min(of_item, option.use[static_cast<std::size_t>(k)]);
      least += of_item;
    }
    if (least > 1 + kRounding) return std::nullopt;
  }
  Uses prices = {};
  double bound = best_prices(scaled, 0, spread > 0 ? spread : 1, prices);
  // More than any choice costs: no choice is feasible. The sums' rounding grows with the prices.
  if (bound > most * (1 + 1e-9) + 1e-11 * (prices[0] + prices[1] + prices[2])) return std::nullopt;
  bool found = false;
  double best_cost = kNever;
  // Near the best prices lie choices that nearly fit.
  for (double factor : {1.0, 1.0001, 1.001, 1.003, 1.01, 1.03, 1.1, 1.3, 2.0, 5.0, 0.999, 0.99}) {
    Uses changed = prices;
    for (double& price : changed) price *= factor;
    std::vector<int> tried = best_at(scaled, changed);
    improve(scaled, changed, tried);
    Total total = total_of(scaled, tried);
    if (total.feasible() && total.cost < best_cost) best_cost = total.cost, chosen = tried, found = true;
  }
  // Without a first choice everything up to the most expensive one may matter.
  if (!found) best_cost = most * (1 + 1e-9) + 1e-300;
  double before = best_cost;
  bool complete = search(scaled, prices, bound, options, chosen, best_cost);
  found |= best_cost < before;
  if (!found) return std::nullopt;
  // A search that left nothing out proves its answer, up to the tolerance.
  if (complete) bound = std::max(bound, best_cost * (1 - options.tolerance / 2));
  return selection_of(problem, scaled, chosen, bound);
}

Selection nearest(const Knapsack& problem) {
  // Limits stretched by one factor: the smallest factor with a choice.
  auto stretched = [&](double factor) {
    Knapsack wider = problem;
    for (double& limit : wider.limits) limit *= factor;
    return choose(wider, {.tolerance = 1e-3, .most_states = 1 << 12});
  };
  double low = 0, high = 1;
  std::optional<Selection> best = stretched(high);
  while (!best && high < 1e12) low = high, high *= 2, best = stretched(high);
  CHECK(best);
  for (int step = 0; step < 20 && high / std::max(low, 1e-12) > 1.0001; step++) {
    double middle = (low + high) / 2;
    if (std::optional<Selection> found = stretched(middle)) best = std::move(found), high = middle;
    else low = middle;
  }
  return *best;
}

}  // namespace bitkerf
