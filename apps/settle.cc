// Plans that keep budgets of speed when they are measured.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "compress/plan/seconds.h"
#include "compress/plan/stand_in.h"
#include "core/cpu.h"
#include "core/error.h"
#include "interrupt.h"
#include "machine.h"
#include "measure/probe.h"
#include "planning.h"
#include "progress.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;

// "Uniform 4 bits": the format of GGUF's Q4_0 for every matrix, in the form that multiplies it fastest.
constexpr std::string_view kUniform = "* = rtn/int4.g32 | int_dot";
// Plans that are measured at most.
constexpr int kMostRounds = 6;
// What measuring twice gives may differ by about as much: a plan is within a limit when it is by this factor, and good enough
// when it does not leave more than kSlack of it unused.
constexpr double kTolerance = 1.01, kSlack = 0.97;

// A file that lives as long as this.
struct TemporaryFile {
  std::string path;
  ~TemporaryFile() { std::remove(path.c_str()); }
};

// Measured seconds of uniform models in those of kUniform, by recipe; kept in the cache folder. A line a recipe:
// "recipe TAB tokens of the prompt TAB decode TAB prefill".
class KeptSpeeds {
 public:
  KeptSpeeds(const std::string& path, i64 prompt_tokens) : path_(path), prompt_(prompt_tokens) {
    std::ifstream in(path_);
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string recipe, tokens, decode, prefill;
      std::getline(words, recipe, '\t'), std::getline(words, tokens, '\t'), std::getline(words, decode, '\t'), std::getline(words, prefill, '\t');
      const Speed ratio{std::strtod(decode.c_str(), nullptr), std::strtod(prefill.c_str(), nullptr)};
      if (!prefill.ends_with('.') || !(ratio.decode > 0) || !(ratio.prefill >= 0)) continue;  // cut off
      lines_[{recipe, std::strtoll(tokens.c_str(), nullptr, 10)}] = ratio;
    }
  }
  // Of this prompt, or, where prefill does not matter, of any.
  const Speed* find(const std::string& recipe) const {
    for (const auto& [key, ratio] : lines_)
      if (key.first == recipe && (prompt_ == 0 || key.second == prompt_)) return &ratio;
    return nullptr;
  }
  void keep(const std::string& recipe, const Speed& ratio) {
    lines_[{recipe, prompt_}] = ratio;
    std::ofstream out(path_, std::ios::app);
    out << fmt::format("{}\t{}\t{:.6f}\t{:.6f}.\n", recipe, prompt_, ratio.decode, ratio.prefill);
  }

 private:
  std::string path_;
  i64 prompt_;
  std::map<std::pair<std::string, i64>, Speed> lines_;
};

bool stands_alone(const ModelMatrix& matrix) { return matrix.is_embedding && !matrix.is_head; }

class Settling {
 public:
  Settling(Planning& planning, const Options& options)
      : planning_(planning), options_(options), problem_(planning.problem), goal_(planning.goal), folder_(cache_folder() + "/plans") {
    const PlanLimits limits = plan_limits(problem_, goal_);
    prompt_ = std::isfinite(limits.prefill) ? problem_.prompt_tokens : 0;
    timed_ = prompt_ > 0 || std::isfinite(limits.decode);
  }

  SettledPlan run() {
    if (!timed_) return {make_plan(problem_, goal_)};
    if (for_gguf(options_)) throw Error(Fault::usage, "budgets of speed are of bitkerf's own forms", "leave out --forms, or give a size");
    std::filesystem::create_directories(folder_);
    TemporaryFile reference{path_of("reference")};
    write_stand_in(*planning_.file, *planning_.matrices, RecipeBook(kUniform), reference.path, planning_.threads);
    problem_.source_decode = 0;  // what is wanted of speed is said; and it was predicted, not measured
    SettledPlan settled;
    settled.meter = std::make_unique<SpeedMeter>(options_, reference.path, prompt_);
    measure_recipes(*settled.meter);
    const Speed uniform = settled.meter->reference();
    // Rows that are only looked up take no time.
    for (const ModelMatrix& matrix : planning_.matrices->list())
      for (PlanLayer& layer : problem_.layers)
        if (stands_alone(matrix) && (layer.matrix == matrix.name || layer.matrix.starts_with(matrix.name + "[")))
          for (Candidate& c : layer.candidates) c.seconds_decode = c.seconds_prefill = 0;
    std::vector<MeasuredPlan> measured;
    for (const auto& [recipe, ratio] : ratios_)
      measured.push_back({uniform_choice(problem_, recipe), ratio.decode * uniform.decode, ratio.prefill * uniform.prefill});
    fit_seconds(problem_, measured);
    choose(settled);
    return settled;
  }

 private:
  std::string path_of(const char* what) const { return fmt::format("{}/{}-{}-{}.gguf", folder_, planning_.key, what, getpid()); }

  Speed measure(SpeedMeter& meter, const std::vector<int>& chosen, const Speed& expected = {}) {
    TemporaryFile file{path_of("candidate")};
    Plan plan;
    plan.chosen = chosen;
    write_stand_in(*planning_.file, *planning_.matrices, RecipeBook(plan_text(problem_, plan, goal_)), file.path, planning_.threads);
    return meter.measure(file.path, expected);
  }

  void measure_recipes(SpeedMeter& meter) {
    Progress progress("measuring speeds", "recipes");
    Interrupt interrupt;
    KeptSpeeds kept(fmt::format("{}/{}-{}.speeds", folder_, planning_.key, probe_key(chosen_isa(), planning_.threads.count())), prompt_);
    const std::vector<std::string> recipes = candidate_recipes(problem_);
    for (const std::string& recipe : recipes) {
      if (interrupt.asked()) fail(Fault::run_time, "stopped; speeds so far are kept");
      if (!kept.find(recipe)) {
        const Speed speed = measure(meter, uniform_choice(problem_, recipe)), uniform = meter.reference();
        kept.keep(recipe, {speed.decode / uniform.decode, prompt_ > 0 ? speed.prefill / uniform.prefill : 0});
      }
      ratios_[recipe] = *kept.find(recipe);
      progress.show(static_cast<i64>(ratios_.size()), static_cast<i64>(recipes.size()));
    }
  }

  void choose(SettledPlan& settled) {
    Progress progress("measuring plans", "rounds");
    Interrupt interrupt;
    PlanGoal no_time{{}, goal_.max_divergence};
    for (const Budget& budget : goal_.budgets) {
      const PlanLimits alone = plan_limits(problem_, {{budget}, 0});
      if (!std::isfinite(alone.decode) && !std::isfinite(alone.prefill)) no_time.budgets.push_back(budget);
    }
    problem_.uniform_decode = settled.meter->reference().decode;
    const std::optional<Plan> unhurried = find_plan(problem_, no_time);
    std::optional<SettledPlan> best;  // without its meter
    std::optional<Plan> nearest;
    double nearest_excess = INFINITY;
    std::vector<std::vector<int>> tried;
    for (int round = 0; round < kMostRounds; round++) {
      if (interrupt.asked()) fail(Fault::run_time, "stopped while measuring plans");
      progress.show(round, kMostRounds);
      problem_.uniform_decode = settled.meter->reference().decode;
      const std::optional<Plan> found = find_plan(problem_, goal_);
      Plan plan = found ? *found : nearest_plan(problem_, goal_);
      if (std::find(tried.begin(), tried.end(), plan.chosen) != tried.end()) break;
      tried.push_back(plan.chosen);
      const Speed seconds = measure(*settled.meter, plan.chosen, {plan.seconds_decode, prompt_ > 0 ? plan.seconds_prefill : 0});
      settled.rounds++;
      problem_.uniform_decode = settled.meter->reference().decode;
      const PlanLimits limits = plan_limits(problem_, goal_);
      const double slowness = std::max(seconds.decode / limits.decode, seconds.prefill / limits.prefill);
      const double excess = std::max(slowness, static_cast<double>(plan.bytes) / limits.bytes);
      // A nearest plan may turn out to be within the limits; one that stretches them to a harm that was asked for does not count.
      const bool keeps = slowness <= kTolerance && static_cast<double>(plan.bytes) <= limits.bytes && (found || goal_.max_divergence <= 0);
      auto worth = [&](const Plan& p) { return goal_.max_divergence > 0 ? static_cast<double>(p.bytes) : p.harm; };
      if (keeps && (!best || worth(plan) < worth(best->plan))) best = SettledPlan{plan, nullptr, {}, seconds, 0};
      if (!keeps && excess < nearest_excess) {
        nearest_excess = excess, nearest = plan;
        nearest->seconds_decode = seconds.decode;
        if (seconds.prefill > 0) nearest->seconds_prefill = seconds.prefill;
      }
      const bool hurried = !unhurried || worth(plan) > worth(*unhurried) * (1 + 1e-6);
      if (keeps && (slowness >= kSlack || !hurried)) break;
      correct_seconds(problem_, {plan.chosen, seconds.decode, seconds.prefill});
    }
    if (!best) refuse(problem_, goal_, *nearest);
    settled.plan = best->plan;
    settled.measured = best->measured;
    settled.uniform = settled.meter->reference();
  }

  Planning& planning_;
  const Options& options_;
  PlanProblem& problem_;
  const PlanGoal& goal_;
  const std::string folder_;
  i64 prompt_ = 0;  // 0: prefill is not limited
  bool timed_ = false;
  std::map<std::string, Speed> ratios_;
};

}  // namespace

SettledPlan settle_plan(Planning& planning, const Options& options) { return Settling(planning, options).run(); }

Json speed_json(const SettledPlan& settled, const Speed& measured) {
  Json report = {{"decode_tokens_per_second", 1 / measured.decode},
                 {"uniform_4_bit_tokens_per_second", 1 / settled.uniform.decode},
                 {"speed", settled.uniform.decode / measured.decode},
                 {"plans", settled.rounds}};
  if (measured.prefill > 0) report["prefill_seconds"] = measured.prefill;
  return report;
}

std::string speed_text(const SettledPlan& settled, const Speed& measured) {
  std::string text = fmt::format("{:.1f} tok/s, {:.3f}x the {:.1f} of uniform 4 bits", 1 / measured.decode, settled.uniform.decode / measured.decode,
                                 1 / settled.uniform.decode);
  if (measured.prefill > 0) text += fmt::format("; {:.0f} ms to the first token", measured.prefill * 1e3);
  return text + fmt::format(" ({} plans measured)", settled.rounds);
}

}  // namespace bitkerf
