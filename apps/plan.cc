// What would be done to fit a model into a budget, without doing it.
#include "core/error.h"
#include "output.h"
#include "planning.h"
#include "verbs.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kCurvePoints = 24;

int print_curve(const PlanProblem& problem, const Options& options) {
  Json rows = Json::array();
  std::string table = fmt::format("{:>10} {:>7} {:>12} {:>12} {:>14}\n", "file MiB", "bits", "divergence", "decode tok/s", "prefill tok/s");
  for (const Plan& plan : plan_curve(problem, kCurvePoints)) {
    rows.push_back(plan_json(problem, plan));
    table += fmt::format("{:10.2f} {:7.3f} {:12.5f} {:12.1f} {:14.1f}\n", static_cast<double>(plan.bytes) / (1 << 20),
                         rows.back()["bits_per_weight"].get<double>(), plan.divergence, rows.back()["predicted_decode_tokens_per_second"].get<double>(),
                         plan.seconds_prefill > 0 ? static_cast<double>(problem.prompt_tokens) / plan.seconds_prefill : 0);
  }
  if (options.json) print_json({{"harm", problem.harm_unit}, {"curve", rows}});
  else print(table);
  return 0;
}

// All candidates of a layer, or of every layer ("*").
Json candidates_json(const PlanProblem& problem, const Plan& plan, const std::string& matrix) {
  if (matrix != "*") explain(problem, plan, matrix);  // which says what is wrong with the name
  Json layers = Json::array();
  for (std::size_t i = 0; i < problem.layers.size(); i++) {
    const PlanLayer& layer = problem.layers[i];
    if (matrix != "*" && layer.matrix != matrix) continue;
    Json candidates = Json::array();
    for (const Candidate& c : layer.candidates)
      candidates.push_back({{"recipe", c.recipe}, {"bytes", c.bytes}, {"harm", c.harm}, {"seconds_decode", c.seconds_decode},
                            {"seconds_prefill", c.seconds_prefill}, {"chosen", &c == &layer.candidates[static_cast<std::size_t>(plan.chosen[i])]}});
    layers.push_back({{"matrix", layer.matrix}, {"weights", layer.weights}, {"candidates", candidates}});
  }
  return {{"fixed_bytes", problem.fixed_bytes}, {"layers", layers}};
}

}  // namespace

int run_verb_plan(const Options& options) {
  if (options.budgets.empty() && options.max_kld <= 0 && !options.curve)
    throw Error(Fault::usage, "no budget given", "--budget 64MiB (or 3.2bpw, ram=128MiB, 40tok/s, ttft=300ms@512, 1.2x), --max-kld X, or --curve");
  Planning planning(options);
  const PlanProblem& problem = planning.problem;
  if (options.curve) return print_curve(problem, options);
  const SettledPlan settled = settle_plan(planning, options);
  const Plan& plan = settled.plan;
  if (!options.explain.empty()) {
    if (options.json) return print_json(candidates_json(problem, plan, options.explain)), 0;
    return print(explain(problem, plan, options.explain)), 0;
  }
  if (options.json) {
    Json report = plan_json(problem, plan);
    Json layers = Json::array();
    for (std::size_t i = 0; i < problem.layers.size(); i++) {
      const Candidate& c = problem.layers[i].candidates[static_cast<std::size_t>(plan.chosen[i])];
      layers.push_back({{"matrix", problem.layers[i].matrix}, {"recipe", c.recipe}, {"bytes", c.bytes}, {"harm", c.harm}, {"seconds_decode", c.seconds_decode}});
    }
    if (settled.meter) report["measured"] = speed_json(settled, settled.measured);
    report["layers"] = layers;
    return print_json(report), 0;
  }
  print(plan_text(problem, plan, planning.goal) + (settled.meter ? "# measured: " + speed_text(settled, settled.measured) + "\n" : ""));
  return 0;
}

}  // namespace bitkerf
