// Tunes a compressed file of ours by distillation from its source: same size, smaller divergence.
#include "tuning.h"

#include "core/cpu.h"
#include "core/error.h"
#include "gather.h"
#include "interrupt.h"
#include "load.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

namespace bitkerf {

TuneReport tune_file(const ModelFile& source, const ModelFile& file, const std::string& out, const Options& options, Threads& threads) {
  TuneOptions how;
  how.steps = options.steps;
  how.state = out + ".part";
  std::vector<std::vector<Token>> windows =
      calibration_windows(*tokenizer_of(file), calibration_texts(options), how.steps * how.windows_per_step + how.judged);
  TuneReport report;
  {
    Progress progress("tuning", "steps");
    Interrupt interrupt;
    how.progress = [&](i64 step, i64 steps, double) {
      progress.show(step, steps);
      return !interrupt.asked();
    };
    report = tune_model(source, file, windows, out, threads, how);
  }
  if (report.steps < how.steps)
    throw Error(Fault::run_time, fmt::format("stopped after {} of {} steps", report.steps, how.steps), "the same command goes on from there");
  return report;
}

nlohmann::ordered_json tune_json(const TuneReport& report) {
  return {{"steps", report.steps}, {"gains", report.gains}, {"rows", report.rows}, {"kld_before", report.before}, {"kld_after", report.after},
          {"kept", report.kept}, {"memory_bytes", report.bytes}};
}

std::string tune_text(const TuneReport& report) {
  return fmt::format("divergence from the source {:.4f} -> {:.4f} nats per token on windows kept apart; {} gains and factors of {} rows moved, "
                     "{:.0f} MiB of memory{}\n", report.before, report.after, report.gains, report.rows,
                     static_cast<double>(report.bytes) / (1 << 20), report.kept ? "" : "; no better, so the file is as it was");
}

int run_verb_tune(const Options& options) {
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o FILE (may be the model's own)");
  if (options.reference.empty()) throw Error(Fault::usage, "no source given", "--reference SOURCE: the model that the file was made from");
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model)), source = open_model_file(model_path(options.reference));
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  const TuneReport report = tune_file(*source, *file, options.output, options, threads);
  if (!options.json) return print(options.output + ": " + tune_text(report)), 0;
  nlohmann::ordered_json json = tune_json(report);
  json["output"] = options.output;
  return print_json(json), 0;
}

}  // namespace bitkerf
