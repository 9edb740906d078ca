#include "planning.h"

#include <filesystem>
#include <fstream>
#include <optional>

#include "compress/content_key.h"
#include "compress/backward/measure_divergence.h"
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
  goal.max_harm = options.max_kld;
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

// Measured over predicted divergence of one plan of the model, on text that nothing was calibrated on: the harms of all
// candidates are multiplied by it. Errors of matrices that read each other's outputs add up to a little more than each by
// itself, and to more on text that is not the calibration's; the ratio changes little from the largest files to the smallest.
// Kept beside the errors of candidates.
constexpr double kMeasuredHarm = 0.1;     // of the plan that is measured
constexpr i64 kWindowsOfEachText = 4;

double measured_ratio(const Planning& planning, const Options& options, const std::string& kept, Threads& threads) {
  if (std::ifstream in(kept); in) {
    double ratio = 0;
    if (in >> ratio && ratio > 0) return ratio;
  }
  const std::vector<std::vector<Token>> windows =
      windows_kept_apart(*tokenizer_of(*planning.file), calibration_texts(options), kWindowsOfEachText);
  if (windows.empty()) return 1;
  Plan plan;
  try {
    plan = make_plan(planning.problem, {{}, kMeasuredHarm});
  } catch (const Error&) {
    return 1;  // no plan of this model does as much harm, or as little
  }
  const std::string tried = kept + ".gguf";
  double divergence = 0;
  {
    Progress progress("measuring one plan", "windows");
    Interrupt interrupt;
    auto* run = for_gguf(options) ? quantize_model_as_gguf : quantize_model;
    run(*planning.file, RecipeBook(plan_text(planning.problem, plan, {})), tried, threads, {}, &planning.statistics);
    bool stopped = false;
    divergence = measure_divergence(*planning.file, *open_model_file(tried), windows, 0.5, threads, [&](i64 done, i64 all) {
      progress.show(done, all);
      stopped = interrupt.asked();
      return !stopped;
    });
    std::filesystem::remove(tried);
    if (stopped) throw Error(Fault::run_time, "stopped; candidates are kept", "the same command goes on from there");
  }
  const double ratio = divergence / plan.harm;
  const std::string part = kept + ".part";
  std::ofstream(part) << fmt::format("{:.6g}\n", ratio);
  std::error_code ignored;
  std::filesystem::rename(part, kept, ignored);
  return ratio;
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
  if (!how.cache.empty() && !statistics.gradient.empty() && file->metadata().has("tokenizer.ggml.model")) {
    const double ratio = measured_ratio(*this, options, folder + "/" + how.key + ".ratio", threads);
    for (PlanLayer& layer : problem.layers)
      for (Candidate& candidate : layer.candidates) candidate.harm *= ratio;
  }
  i64 context = chosen_context(options.context, matrices->shape().context);
  problem.other_memory = matrices->session_bytes(context, options.chunk);
}

Json plan_json(const PlanProblem& problem, const Plan& plan) {
  return {{"file_bytes", plan.bytes},
          {"bits_per_weight", 8.0 * static_cast<double>(plan.bytes) / static_cast<double>(problem.parameters)},
          {"predicted_kld", plan.harm},
          {"predicted_decode_tokens_per_second", plan.seconds_decode > 0 ? 1 / plan.seconds_decode : 0},
          {"predicted_prefill_seconds", plan.seconds_prefill},
          {"prompt_tokens", problem.prompt_tokens},
          {"gap", plan.gap}};
}

}  // namespace bitkerf
