// Tunes a compressed file of ours by distillation from its source: same size, smaller divergence.
#include "compress/tune.h"

#include "core/cpu.h"
#include "core/error.h"
#include "gather.h"
#include "interrupt.h"
#include "load.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

namespace bitkerf {

int run_verb_tune(const Options& options) {
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o FILE (may be the model's own)");
  if (options.reference.empty()) throw Error(Fault::usage, "no source given", "--reference SOURCE: the model that the file was made from");
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model)), source = open_model_file(model_path(options.reference));
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  TuneOptions how;
  how.steps = options.steps;
  how.state = options.output + ".part";
  std::vector<std::vector<Token>> windows =
      calibration_windows(*tokenizer_of(*file), calibration_texts(options), how.steps * how.windows_per_step + how.judged);
  TuneReport report;
  {
    Progress progress("tuning", "steps");
    Interrupt interrupt;
    how.progress = [&](i64 step, i64 steps, double) {
      progress.show(step, steps);
      return !interrupt.asked();
    };
    report = tune_model(*source, *file, windows, options.output, threads, how);
  }
  if (report.steps < how.steps)
    throw Error(Fault::run_time, fmt::format("stopped after {} of {} steps", report.steps, how.steps), "the same command goes on from there");
  if (options.json) {
    print_json({{"output", options.output}, {"steps", report.steps}, {"windows", windows.size()}, {"gains", report.gains}, {"rows", report.rows},
                {"kld_before", report.before}, {"kld_after", report.after}, {"kept", report.kept}, {"memory_bytes", report.bytes}});
  } else {
    print(fmt::format("{}: divergence from the source {:.4f} -> {:.4f} nats per token on {} windows kept apart; {} gains and factors of {} rows moved, "
                      "{:.0f} MiB of memory{}\n", options.output, report.before, report.after, how.judged, report.gains, report.rows,
                      static_cast<double>(report.bytes) / (1 << 20), report.kept ? "" : "; no better, so the file is as it was"));
  }
  return 0;
}

}  // namespace bitkerf
