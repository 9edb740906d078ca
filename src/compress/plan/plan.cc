#include "compress/plan/plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "compress/plan/knapsack.h"
#include "core/check.h"
#include "core/error.h"

namespace bitkerf {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

// A quantity that plans have and budgets limit: what a candidate adds to it, what is there before any, and how it reads.
struct Quantity {
  double (*of)(const Candidate&);
  double (*fixed)(const PlanProblem&);
  std::string (*text)(double value);
};
enum { kBytes, kDecode, kPrefill, kQuantities };
const Quantity kQuantityRows[kQuantities] = {
    {[](const Candidate& c) { return static_cast<double>(c.bytes); }, [](const PlanProblem& p) { return static_cast<double>(p.fixed_bytes); },
     [](double v) { return fmt::format("{} ({:.0f} bytes)", size_text(v), v); }},
    {[](const Candidate& c) { return c.seconds_decode; }, [](const PlanProblem& p) { return p.fixed_decode; },
     [](double v) { return fmt::format("{:.1f} tok/s", v > 0 ? 1 / v : 0); }},
    {[](const Candidate& c) { return c.seconds_prefill; }, [](const PlanProblem& p) { return p.fixed_prefill; },
     [](double v) { return fmt::format("{:.0f} ms to the first token", v * 1e3); }},
};

// Which quantity a kind of budget limits, to which value.
struct Meaning {
  const BudgetKind* kind;
  int quantity;
  double (*limit)(const PlanProblem&, const Budget&);
};
const Meaning kMeanings[] = {
    {&budget_kinds::file_bytes, kBytes, [](const PlanProblem&, const Budget& b) { return std::floor(b.value); }},
    {&budget_kinds::bits_per_weight, kBytes, [](const PlanProblem& p, const Budget& b) { return std::floor(b.value * static_cast<double>(p.parameters) / 8); }},
    {&budget_kinds::resident_bytes, kBytes, [](const PlanProblem& p, const Budget& b) { return std::floor(b.value) - static_cast<double>(p.other_memory); }},
    {&budget_kinds::tokens_per_second, kDecode, [](const PlanProblem&, const Budget& b) { return 1 / b.value; }},
    {&budget_kinds::first_token, kPrefill, [](const PlanProblem&, const Budget& b) { return b.value; }},
    {&budget_kinds::speedup, kDecode, [](const PlanProblem& p, const Budget& b) { return p.uniform_decode / b.value; }},
};

std::array<double, kQuantities> limits_of(const PlanProblem& problem, const PlanGoal& goal) {
  std::array<double, kQuantities> limits;
  limits.fill(kNone);
  for (const Budget& budget : goal.budgets) {
    if (budget.tokens > 0 && budget.tokens != problem.prompt_tokens)
      fail(Fault::usage, "budget '{}': one plan has one length of prompt, and another budget speaks of {} tokens", budget.text, problem.prompt_tokens);
    for (const Meaning& meaning : kMeanings) {
      if (meaning.kind != budget.kind) continue;
      double& limit = limits[static_cast<std::size_t>(meaning.quantity)];
      limit = std::min(limit, meaning.limit(problem, budget));
    }
  }
  return limits;
}

double of(const Candidate& candidate, int quantity) { return kQuantityRows[quantity].of(candidate); }

Plan plan_of(const PlanProblem& problem, const std::vector<int>& chosen, double gap) {
  Plan plan{chosen, problem.fixed_bytes, 0, problem.fixed_decode, problem.fixed_prefill, gap};
  for (std::size_t i = 0; i < chosen.size(); i++) {
    const Candidate& candidate = problem.layers[i].candidates[static_cast<std::size_t>(chosen[i])];
    plan.bytes += candidate.bytes;
    plan.harm += candidate.harm;
    plan.seconds_decode += candidate.seconds_decode;
    plan.seconds_prefill += candidate.seconds_prefill;
  }
  plan.divergence = problem.divergence.of(plan.harm);
  return plan;
}

// Costs and limits of the knapsack: harm within quantities, or bytes within harm and the two times.
Knapsack knapsack_of(const PlanProblem& problem, const std::array<double, kQuantities>& limits, double max_divergence) {
  const double max_harm = problem.divergence.harm(max_divergence);
  Knapsack knapsack;
  for (int q = 0; q < kQuantities; q++) knapsack.limits.push_back(limits[static_cast<std::size_t>(q)] - kQuantityRows[q].fixed(problem));
  if (max_harm > 0) knapsack.limits[kBytes] = max_harm;
  for (double& limit : knapsack.limits) limit = std::max(limit, 0.0);
  for (const PlanLayer& layer : problem.layers) {
    std::vector<Option> options;
    for (const Candidate& c : layer.candidates) {
      Option option{c.harm, {of(c, kBytes), of(c, kDecode), of(c, kPrefill)}};
      if (max_harm > 0) std::swap(option.cost, option.use[kBytes]);
      options.push_back(option);
    }
    knapsack.items.push_back(std::move(options));
  }
  return knapsack;
}

// "m[0:1024]" and "m[1024:2048]" are "m[0:2048]"; empty when the second does not go on where the first ends.
std::string joined(const std::string& a, const std::string& b) {
  const std::size_t open_a = a.rfind('['), open_b = b.rfind('['), colon_a = a.rfind(':'), colon_b = b.rfind(':');
  if (open_a == a.npos || open_a != open_b || colon_a == a.npos || colon_b == b.npos || a.compare(0, open_a, b, 0, open_b) != 0) return {};
  if (a.substr(colon_a + 1, a.size() - colon_a - 2) != b.substr(open_b + 1, colon_b - open_b - 1)) return {};
  return a.substr(0, colon_a) + b.substr(colon_b);
}

std::string goal_text(const PlanGoal& goal) {
  std::string text;
  for (const Budget& budget : goal.budgets) text += (text.empty() ? "" : ", ") + budget.text;
  if (goal.max_divergence > 0) text += fmt::format("{}max-kld {:g}", text.empty() ? "" : ", ", goal.max_divergence);
  return text;
}

}  // namespace

std::optional<Plan> find_plan(const PlanProblem& problem, const PlanGoal& goal) {
  std::array<double, kQuantities> limits = limits_of(problem, goal);
  for (int q = 0; q < kQuantities; q++)  // a limit below what is there before anything is chosen
    if (limits[static_cast<std::size_t>(q)] < kQuantityRows[q].fixed(problem)) return std::nullopt;
  Knapsack knapsack = knapsack_of(problem, limits, goal.max_divergence);
  std::optional<Selection> found;
  // The smallest errors for a size are in codes that are slow to read. A plan that only bytes limit is still to be faster than its
  // source: by a tenth as predicted, by less where it is not that much smaller.
  if (problem.source_decode > 0 && problem.source_bytes > 0 && goal.max_divergence <= 0 && !std::isfinite(limits[kDecode])) {
    const double size = limits[kBytes] / static_cast<double>(problem.source_bytes);
    knapsack.limits[kDecode] = std::max(0.9, std::min(size + 0.11, 1.0)) * problem.source_decode - problem.fixed_decode;
    found = choose(knapsack);
    knapsack.limits[kDecode] = kNone;
  }
  if (!found) found = choose(knapsack);
  if (!found) return std::nullopt;
  Plan plan = plan_of(problem, found->chosen, found->gap());
  if (goal.max_divergence > 0 && static_cast<double>(plan.bytes) > limits[kBytes]) return std::nullopt;
  return plan;
}

Plan nearest_plan(const PlanProblem& problem, const PlanGoal& goal) {
  std::array<double, kQuantities> limits = limits_of(problem, goal);
  Knapsack knapsack = knapsack_of(problem, limits, goal.max_divergence);
  // What stretches all limits the least. A limit of nothing cannot be stretched: then each by itself is a hint.
  for (int q = 0; q < kQuantities; q++) {
    double fixed = kQuantityRows[q].fixed(problem), limit = limits[static_cast<std::size_t>(q)];
    double& room = knapsack.limits[static_cast<std::size_t>(q)];
    if (std::isfinite(limit) && (goal.max_divergence <= 0 || q != kBytes)) room = std::max(room, 1e-6 * std::max(fixed, limit));
  }
  return plan_of(problem, nearest(knapsack).chosen, 0);
}

void refuse(const PlanProblem& problem, const PlanGoal& goal, const Plan& near) {
  std::array<double, kQuantities> limits = limits_of(problem, goal);
  std::string can;
  const double values[] = {static_cast<double>(near.bytes), near.seconds_decode, near.seconds_prefill};
  for (int q = 0; q < kQuantities; q++)
    if (std::isfinite(limits[static_cast<std::size_t>(q)]) || (q == kBytes && goal.max_divergence > 0)) can += (can.empty() ? "" : ", ") + kQuantityRows[q].text(values[q]);
  // Speed is also said in the unit that was asked for.
  for (const Budget& budget : goal.budgets)
    if (budget.kind == &budget_kinds::speedup && problem.uniform_decode > 0 && near.seconds_decode > 0)
      can += fmt::format(", {:.2f}x the speed of uniform 4 bits", problem.uniform_decode / near.seconds_decode);
  throw Error(Fault::budget, fmt::format("no plan keeps within {}; the nearest feasible plan: {}, predicted divergence {:.4f}", goal_text(goal), can, near.divergence),
              "a larger budget, or fewer budgets at once; bitkerf plan MODEL --curve shows what is possible");
}

Plan make_plan(const PlanProblem& problem, const PlanGoal& goal) {
  if (std::optional<Plan> plan = find_plan(problem, goal)) return *plan;
  refuse(problem, goal, nearest_plan(problem, goal));
}

PlanLimits plan_limits(const PlanProblem& problem, const PlanGoal& goal) {
  std::array<double, kQuantities> limits = limits_of(problem, goal);
  return {limits[kBytes], limits[kDecode], limits[kPrefill]};
}

void force(PlanProblem& problem, const std::map<std::string, std::string>& forced) {
  for (PlanLayer& layer : problem.layers) {
    auto wanted = forced.find(layer.matrix);
    if (wanted == forced.end()) continue;
    auto found = std::find_if(layer.candidates.begin(), layer.candidates.end(), [&](const Candidate& c) { return c.recipe == wanted->second; });
    if (found == layer.candidates.end()) {
      std::string known;
      for (const Candidate& c : layer.candidates) known += (known.empty() ? "" : "; ") + c.recipe;
      fail(Fault::usage, "layer '{}': no candidate '{}'; its candidates are: {}", layer.matrix, wanted->second, known);
    }
    layer.candidates = {*found};
  }
}

std::string plan_text(const PlanProblem& problem, const Plan& plan, const PlanGoal& goal) {
  std::string text = fmt::format(
      "# Plan of bitkerf for {}\n# budget: {}\n# file: at most {} bytes ({}), {:.3f} bits per weight\n"
      "# predicted: divergence {:.5f} nats per token ({}), decode {:.2f} ms per token, {:.0f} ms for a prompt of {} tokens\n"
      "# no plan within the budget has {:.2g} less of it\n",
      problem.model, goal_text(goal), plan.bytes, size_text(static_cast<double>(plan.bytes)),
      8.0 * static_cast<double>(plan.bytes) / static_cast<double>(std::max<i64>(problem.parameters, 1)), plan.divergence, problem.harm_unit,
      plan.seconds_decode * 1e3, plan.seconds_prefill * 1e3, problem.prompt_tokens, plan.divergence - problem.divergence.of((1 - plan.gap) * plan.harm));
  struct Line {
    std::string name, recipe;
    i64 weights, bytes;
    double harm;
  };
  std::vector<Line> lines;
  for (std::size_t i = 0; i < problem.layers.size(); i++) {
    const PlanLayer& layer = problem.layers[i];
    const Candidate& c = layer.candidates[static_cast<std::size_t>(plan.chosen[i])];
    if (!lines.empty() && lines.back().recipe == c.recipe) {
      if (std::string both = joined(lines.back().name, layer.matrix); !both.empty()) {
        lines.back() = {both, c.recipe, lines.back().weights + layer.weights, lines.back().bytes + c.bytes, lines.back().harm + c.harm};
        continue;
      }
    }
    lines.push_back({layer.matrix, c.recipe, layer.weights, c.bytes, c.harm});
  }
  std::size_t width = 0, recipe_width = 0;
  for (const Line& line : lines) width = std::max(width, line.name.size()), recipe_width = std::max(recipe_width, line.recipe.size());
  for (const Line& line : lines)
    text += fmt::format("{:{}} = {:{}}  # {:.2f} bits, {} bytes, harm {:.2e}\n", line.name, width, line.recipe, recipe_width,
                        8.0 * static_cast<double>(line.bytes) / static_cast<double>(line.weights), line.bytes, line.harm);
  return text;
}

std::vector<Plan> plan_curve(const PlanProblem& problem, int count) {
  i64 least = problem.fixed_bytes, most = problem.fixed_bytes;
  for (const PlanLayer& layer : problem.layers) {
    auto smaller = [](const Candidate& a, const Candidate& b) { return a.bytes < b.bytes; };
    least += std::min_element(layer.candidates.begin(), layer.candidates.end(), smaller)->bytes;
    most += std::min_element(layer.candidates.begin(), layer.candidates.end(), [](const Candidate& a, const Candidate& b) {
              return std::tie(a.harm, a.bytes) < std::tie(b.harm, b.bytes);
            })->bytes;
  }
  std::vector<Plan> plans;
  for (int i = 0; i < count; i++) {
    double bytes = static_cast<double>(least) + static_cast<double>(most - least) * i / std::max(count - 1, 1);
    Plan plan = make_plan(problem, {{{&budget_kinds::file_bytes, std::ceil(bytes), 0, {}}}, 0});
    if (plans.empty() || plan.harm < plans.back().harm) plans.push_back(plan);
  }
  return plans;
}

std::string explain(const PlanProblem& problem, const Plan& plan, const std::string& matrix) {
  for (std::size_t i = 0; i < problem.layers.size(); i++) {
    const PlanLayer& layer = problem.layers[i];
    if (layer.matrix != matrix) continue;
    const Candidate& taken = layer.candidates[static_cast<std::size_t>(plan.chosen[i])];
    // The plan's own price of a byte: the best saving of harm per byte that any layer still offers.
    double price = 0;
    for (std::size_t l = 0; l < problem.layers.size(); l++) {
      const Candidate& now = problem.layers[l].candidates[static_cast<std::size_t>(plan.chosen[l])];
      for (const Candidate& c : problem.layers[l].candidates)
        if (c.bytes > now.bytes && c.harm < now.harm) price = std::max(price, (now.harm - c.harm) / static_cast<double>(c.bytes - now.bytes));
    }
    std::string text = fmt::format("{} ({} weights); the next byte of this plan is worth {:.3g} nats\n  {:40} {:>6} {:>10} {:>11} {:>10} {:>10} {:>12}\n", matrix,
                                   layer.weights, price, "candidate", "bits", "bytes", "harm", "decode us", "prefill us", "harm + price");
    for (const Candidate& c : layer.candidates)
      text += fmt::format("{} {:40} {:6.2f} {:10} {:11.3e} {:10.1f} {:10.1f} {:12.4e}\n", &c == &taken ? '*' : ' ', c.recipe,
                          8.0 * static_cast<double>(c.bytes) / static_cast<double>(layer.weights), c.bytes, c.harm, c.seconds_decode * 1e6,
                          c.seconds_prefill * 1e6, c.harm + price * static_cast<double>(c.bytes));
    return text;
  }
  std::string known;
  for (const PlanLayer& layer : problem.layers)
    if (known.size() < 200) known += (known.empty() ? "" : ", ") + layer.matrix;
  fail(Fault::usage, "no layer '{}'; the model has {}, ...", matrix, known);
}

}  // namespace bitkerf
