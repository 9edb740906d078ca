// Fits a model to a budget: plans, quantizes, writes, and says what it did.
#include <cstdio>
#include <filesystem>

#include "compress/quantize_model.h"
#include "core/check.h"
#include "core/error.h"
#include "gather.h"
#include "load.h"
#include "machine.h"
#include "measure/clock.h"
#include "output.h"
#include "planning.h"
#include "progress.h"
#include "run_divergence.h"
#include "tuning.h"
#include "verbs.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;

constexpr i64 kWindowsMeasured = 4;  // of each text

}  // namespace

int run_verb_compress(const Options& options) {
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o FILE");
  if (options.plan_file.empty() && options.budgets.empty() && options.max_kld <= 0)
    throw Error(Fault::usage, "no budget given", "--budget 64MiB (or 3.2bpw, ram=128MiB, 40tok/s, ttft=300ms@512, 1.2x), --max-kld X, or --plan FILE");
  if (options.tune && !options.forms.empty()) throw Error(Fault::usage, "--tune moves scales of our own forms", "leave out --forms");
  // Said now, not after minutes of work.
  if (const auto folder = std::filesystem::path(options.output).parent_path(); !folder.empty() && !std::filesystem::is_directory(folder))
    fail(Fault::run_time, "{}: there is no folder {}", options.output, folder.string());
  std::unique_ptr<ModelFile> file;
  Threads threads(thread_count(options.threads));
  Json report;
  std::string recipe;
  i64 most_bytes = 0;
  double predicted = 0;
  Statistics statistics;
  SettledPlan settled;
  if (!options.plan_file.empty()) {
    recipe = read_text_file(options.plan_file);
    file = open_model_file(model_path(options.model));
    RecipeBook check(recipe);  // what is wrong with it is said before calibration
    statistics = planning_statistics(*file, options, threads);
  } else {
    Planning planning(options);
    settled = settle_plan(planning, options);
    const Plan& plan = settled.plan;
    recipe = plan_text(planning.problem, plan, planning.goal);
    report = plan_json(planning.problem, plan);
    most_bytes = plan.bytes;
    predicted = plan.divergence;
    file = std::move(planning.file);
    statistics = std::move(planning.statistics);
  }
  // Tuned files are written from one that is not, so that OUT is never a file half done.
  const std::string written = options.tune ? options.output + ".untuned" : options.output;
  QuantizeReport quantized;
  {
    Progress progress("quantizing", "M weights", 1000000);
    auto* run = for_gguf(options) ? quantize_model_as_gguf : quantize_model;
    quantized = run(*file, RecipeBook(recipe), written, threads, [&](i64 done, i64 all) { progress.show(done, all); }, &statistics);
  }
  std::string tuned;
  if (options.tune) {
    const TuneReport tuning = tune_file(*file, *open_model_file(written), options.output, options, threads);
    std::remove(written.c_str());
    report["tuning"] = tune_json(tuning);
    tuned = tune_text(tuning);
  }
  // On text that nothing was calibrated on.
  std::vector<std::vector<Token>> windows;
  if (!statistics.gradient.empty() && file->metadata().has("tokenizer.ggml.model"))
    windows = windows_kept_apart(*tokenizer_of(*file), calibration_texts(options), kWindowsMeasured);
  double measured = 0;
  if (!windows.empty()) {
    Progress progress("measuring", "windows");
    measured = run_divergence(options, model_path(options.model), options.output, windows, [&](i64 done, i64 all) { progress.show(done, all); });
    report["measured_kld"] = measured;
  }
  i64 bytes = open_model_file(options.output)->file_bytes();
  if (most_bytes > 0) CHECK_LE(bytes, most_bytes);
  std::string speed;
  if (settled.meter) {
    // Of the file itself: what stood for it when it was planned had other weights.
    const Speed measured = settled.meter->measure(options.output, settled.measured);
    settled.uniform = settled.meter->reference();
    report["measured"] = speed_json(settled, measured);
    speed = fmt::format("{:12} {}\n", "measured", speed_text(settled, measured));
  }
  report["output"] = options.output;
  report["source_bytes"] = file->file_bytes();
  report["file_bytes"] = bytes;
  if (options.json) return print_json(report), 0;
  print(fmt::format("{:12} {:>12} {:>12}\n{:12} {:12.2f} {:12.2f}\n", "", "source", "ours", "file MiB", static_cast<double>(file->file_bytes()) / (1 << 20),
                    static_cast<double>(bytes) / (1 << 20)));
  if (most_bytes > 0) print(fmt::format("{:12} {:12} {:12.5f}\n", "predicted", "", predicted));
  if (!windows.empty()) print(fmt::format("{:12} {:12} {:12.5f}  nats per token, on calibration text kept apart\n", "divergence", "", measured));
  print(speed + tuned);
  return 0;
}

}  // namespace bitkerf
