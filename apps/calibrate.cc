// Gathers the statistics of a model's inputs that quantizers, transforms and the planner know of data.
#include "compress/calibration/calibrate.h"

#include <fstream>
#include <iterator>
#include <set>

#include "core/cpu.h"
#include "core/error.h"
#include "interrupt.h"
#include "load.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

namespace bitkerf {
namespace {

std::vector<CalibrationText> texts_of(const Options& options) {
  if (options.calibrate.empty()) return default_calibration();
  std::vector<CalibrationText> texts;
  for (const std::string& path : options.calibrate) {
    if (path == "+") {
      for (CalibrationText& text : default_calibration()) texts.push_back(std::move(text));  // shares sum to 1
      continue;
    }
    std::ifstream stream(path, std::ios::binary);
    if (!stream) fail(Fault::file, "{}: cannot be opened", path);
    texts.push_back({path, std::string((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>()), 1});
  }
  return texts;
}

}  // namespace

int run_verb_calibrate(const Options& options) {
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o FILE");
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  if (!file->metadata().has("tokenizer.ggml.model")) fail(Fault::file, "{}: has no tokenizer (key tokenizer.ggml.model)", file->path());
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file->metadata());
  std::vector<CalibrationText> texts = texts_of(options);
  std::vector<std::vector<Token>> windows = calibration_windows(*tokenizer, texts, options.windows);
  std::string origin = file->metadata().text("general.name", file->path()) + ";";
  for (const CalibrationText& text : texts) origin += " " + text.name;
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  Statistics statistics;
  {
    Progress progress("calibrating", "windows");
    Interrupt interrupt;
    Calibration how{.state = options.output + ".part", .progress = [&](i64 done, i64 all) {
      progress.show(done, all);
      return !interrupt.asked();
    }};
    statistics = calibrate(*file, windows, origin, threads, how);
  }
  if (statistics.windows < static_cast<i64>(windows.size()))
    throw Error(Fault::run_time, fmt::format("stopped after {} of {} windows", statistics.windows, windows.size()), "the same command goes on from there");
  save_statistics(options.output, statistics);
  std::set<const InputStatistics*> inputs;
  for (const auto& [name, input] : statistics.inputs) inputs.insert(input.get());
  if (options.json) {
    print_json({{"output", options.output}, {"windows", statistics.windows}, {"inputs", inputs.size()}, {"matrices", statistics.inputs.size()}});
  } else {
    print(fmt::format("{}: {} inputs of {} matrices over {} windows of {} tokens\n", options.output, inputs.size(), statistics.inputs.size(),
                      statistics.windows, kCalibrationWindow));
  }
  return 0;
}

}  // namespace bitkerf
