#include "planning.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "compress/content_key.h"
#include "compress/plan/candidates.h"
#include "compress/quantize_model.h"
#include "core/cpu.h"
#include "core/error.h"
#include "files/mapped_file.h"
#include "gather.h"
#include "interrupt.h"
#include "load.h"
#include "machine.h"
#include "progress.h"
#include "run_divergence.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;

// Errors that other versions of the quantizers would find differ: raise this when they change.
constexpr std::string_view kErrorsVersion = "6";
// Likewise of statistics.
constexpr std::string_view kStatisticsVersion = "4";

PlanGoal goal_of(const Options& options) {
  PlanGoal goal;
  for (const std::string& text : options.budgets) goal.budgets.push_back(parse_budget(text));
  goal.max_divergence = options.max_kld;
  return goal;
}

i64 prompt_tokens(const PlanGoal& goal) {
  i64 tokens = 512;
  for (const Budget& budget : goal.budgets)
    if (budget.tokens > 0) tokens = budget.tokens;
  return tokens;
}

// Moments of the inputs and gradients of the outputs over calibration text, kept in the cache folder under a name that
// depends on the model's and the texts' content: `key`, which has the model, gets the texts. Or those that are given.
Statistics statistics_of(const ModelFile& file, const Options& options, ContentKey& key, Threads& threads) {
  if (!options.calibration.empty()) {
    if (!options.calibrate.empty()) fail(Fault::usage, "--calibration gives statistics, --calibrate texts to gather them from; expected one of the two");
    const MappedFile content(options.calibration);
    key.add({reinterpret_cast<const char*>(content.bytes().data()), content.bytes().size()});
    return load_statistics(options.calibration);
  }
  std::vector<CalibrationText> texts = calibration_texts(options);
  key.add(kStatisticsVersion).add(std::to_string(options.windows));
  for (const CalibrationText& text : texts) key.add(text.text).add(fmt::format("{}", text.share));
  const std::string folder = cache_folder() + "/statistics", path = folder + "/" + key.text() + ".gguf";
  if (std::filesystem::exists(path)) return load_statistics(path);
  std::filesystem::create_directories(folder);
  Statistics statistics = gather_statistics(file, options, path + ".part", threads);
  save_statistics(path, statistics);
  std::filesystem::remove(path + ".part");
  return statistics;
}

// Divergences of three plans of the model from its source, on text that nothing was calibrated on, beside their harms: what
// predictions of other plans lie between. Kept beside the errors of candidates, a line a plan.
constexpr double kMeasuredHarms[] = {0.1, 0.01, 0.001};
constexpr i64 kWindowsOfEachText = 4;

std::vector<DivergenceCurve::Point> kept_points(const std::string& path) {
  std::vector<DivergenceCurve::Point> points;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    double harm = 0, divergence = 0;
    char end = 0;  // a line that was cut off has none
    if (std::istringstream(line) >> harm >> divergence >> end && harm > 0 && divergence > 0 && std::isfinite(harm) && std::isfinite(divergence))
      points.push_back({harm, divergence});
  }
  return points;
}

DivergenceCurve measured_divergence(const Planning& planning, const Options& options, const std::string& kept, Threads& threads) {
  std::vector<DivergenceCurve::Point> points = kept_points(kept);
  std::vector<Plan> plans;
  for (double harm : kMeasuredHarms) {
    std::optional<Plan> plan = find_plan(planning.problem, {{}, harm});
    if (!plan || plan->harm <= 0) continue;  // no plan of this model does as little
    auto same = [&](const Plan& other) { return other.chosen == plan->chosen; };
    if (std::none_of(plans.begin(), plans.end(), same)) plans.push_back(*plan);
  }
  std::erase_if(plans, [&](const Plan& plan) {
    return std::any_of(points.begin(), points.end(), [&](const DivergenceCurve::Point& p) { return std::abs(p.harm / plan.harm - 1) < 1e-4; });
  });
  if (plans.empty()) return DivergenceCurve(points);
  const std::vector<std::vector<Token>> windows =
      windows_kept_apart(*tokenizer_of(*planning.file), calibration_texts(options), kWindowsOfEachText);
  if (windows.empty()) return DivergenceCurve(points);
  // A plan's file, which nothing is to leave behind.
  struct Tried {
    std::string path;
    ~Tried() { std::remove(path.c_str()); }
  } tried{kept + ".gguf"};
  auto* run = for_gguf(options) ? quantize_model_as_gguf : quantize_model;
  const i64 steps = static_cast<i64>(2 * windows.size());  // rounding a plan takes about as long as measuring it
  Progress progress(fmt::format("measuring {} plan{}", plans.size(), plans.size() == 1 ? "" : "s"), "steps");
  Interrupt interrupt;
  for (std::size_t i = 0; i < plans.size(); i++) {
    auto show = [&](double share) {
      progress.show(static_cast<i64>((static_cast<double>(i) + share) * static_cast<double>(steps)), steps * static_cast<i64>(plans.size()));
      if (interrupt.asked()) throw Error(Fault::run_time, "stopped; candidates are kept", "the same command goes on from there");
    };
    auto part = [](i64 done, i64 all) { return 0.5 * static_cast<double>(done) / static_cast<double>(std::max<i64>(all, 1)); };
    run(*planning.file, RecipeBook(plan_text(planning.problem, plans[i], {})), tried.path, threads, [&](i64 done, i64 all) { show(part(done, all)); },
        &planning.statistics);
    const double divergence =
        run_divergence(options, model_path(options.model), tried.path, windows, [&](i64 done, i64 all) { show(0.5 + part(done, all)); });
    if (divergence <= 0) continue;
    points.push_back({plans[i].harm, divergence});
    std::ofstream(kept, std::ios::app) << fmt::format("{:.9g} {:.9g} .\n", plans[i].harm, divergence);
  }
  return DivergenceCurve(points);
}

}  // namespace

bool for_gguf(const Options& options) {
  if (options.forms.empty() || options.forms == "gguf") return !options.forms.empty();
  throw Error(Fault::usage, fmt::format("--forms: unknown '{}'; known is: gguf", options.forms));
}

Statistics planning_statistics(const ModelFile& file, const Options& options, Threads& threads) {
  ContentKey key;
  return statistics_of(file, options, key.add(file), threads);
}

Planning::Planning(const Options& options)
    : file(open_model_file(model_path(options.model))),
      threads(thread_count(options.threads)),
      goal(goal_of(options)) {
  matrices = std::make_unique<ModelMatrices>(*file, threads);
  CandidateOptions how;
  how.prompt_tokens = prompt_tokens(goal);
  ContentKey content;  // of everything that statistics and errors depend on
  content.add(*file);
  statistics = statistics_of(*file, options, content, threads);
  how.statistics = &statistics;
  how.gguf = for_gguf(options);
  // Statistics from elsewhere say nothing of tokens.
  if (options.calibration.empty() || file->metadata().has("tokenizer.ggml.model")) {
    how.token_counts.assign(static_cast<std::size_t>(matrices->shape().vocabulary), 0);
    for (const std::vector<Token>& window : calibration_windows(*tokenizer_of(*file), calibration_texts(options), options.windows))
      for (Token token : window) how.token_counts.at(static_cast<std::size_t>(token))++;
  }
  key = how.key = content.add(kErrorsVersion).add(options.forms).text();
  std::string folder = cache_folder() + "/plans";
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  if (!ignored) how.cache = folder + "/" + how.key + ".errors";

  Probe probe = load_probe(cache_folder(), chosen_isa(), threads.count(), false);
  std::optional<CostModel> costs;
  try {
    costs = load_cost_model(cache_folder(), chosen_isa(), threads.count());
  } catch (const Error&) {
    // None was learned on this machine: the roofline stands for it.
  }
  how.probe = &probe;
  how.costs = costs ? &*costs : nullptr;
  {
    Progress progress("trying candidates", "M weights", 1000000);
    Interrupt interrupt;
    how.progress = [&](i64 done, i64 all) { return progress.show(done, all), !interrupt.asked(); };
    problem = make_candidates(*file, *matrices, how, threads);
  }
  if (!how.cache.empty() && !statistics.gradient.empty() && file->metadata().has("tokenizer.ggml.model"))
    problem.divergence = measured_divergence(*this, options, folder + "/" + how.key + ".measured", threads);
  i64 context = chosen_context(options.context, matrices->shape().context);
  problem.other_memory = matrices->session_bytes(context, options.chunk);
}

Json plan_json(const PlanProblem& problem, const Plan& plan) {
  return {{"file_bytes", plan.bytes},
          {"bits_per_weight", 8.0 * static_cast<double>(plan.bytes) / static_cast<double>(problem.parameters)},
          {"predicted_kld", plan.divergence},
          {"predicted_decode_tokens_per_second", plan.seconds_decode > 0 ? 1 / plan.seconds_decode : 0},
          {"predicted_prefill_seconds", plan.seconds_prefill},
          {"prompt_tokens", problem.prompt_tokens},
          {"gap", plan.gap}};
}

}  // namespace bitkerf
