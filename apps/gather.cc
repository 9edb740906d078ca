#include "gather.h"

#include <filesystem>

#include "compress/backward/measure_gradients.h"
#include "core/error.h"
#include "interrupt.h"
#include "load.h"
#include "progress.h"

namespace bitkerf {
namespace {

[[noreturn]] void stopped(const char* what, i64 done, i64 all) {
  throw Error(Fault::run_time, fmt::format("stopped after {} of {} windows of {}", done, all, what), "the same command goes on from there");
}

}  // namespace

std::vector<CalibrationText> calibration_texts(const Options& options) {
  if (options.calibrate.empty()) return default_calibration();
  std::vector<CalibrationText> texts;
  for (const std::string& path : options.calibrate) {
    if (path == "+") {
      for (CalibrationText& text : default_calibration()) texts.push_back(std::move(text));  // shares sum to 1
      continue;
    }
    texts.push_back({path, read_text_file(path), 1});
  }
  return texts;
}

std::unique_ptr<Tokenizer> tokenizer_of(const ModelFile& file) {
  if (!file.metadata().has("tokenizer.ggml.model")) fail(Fault::file, "{}: has no tokenizer (key tokenizer.ggml.model)", file.path());
  return make_tokenizer(file.metadata());
}

Statistics gather_statistics(const ModelFile& file, const Options& options, const std::string& state, Threads& threads) {
  std::vector<CalibrationText> texts = calibration_texts(options);
  std::vector<std::vector<Token>> windows = calibration_windows(*tokenizer_of(file), texts, options.windows);
  auto count = static_cast<i64>(windows.size());
  std::string origin = file.metadata().text("general.name", file.path()) + ";";
  for (const CalibrationText& text : texts) origin += " " + text.name;

  // Finished moments wait in a file of their own while gradients are measured.
  const std::string moments = state + ".moments";
  const std::string key = fmt::format("{}; {} bytes; {} windows", origin, file.file_bytes(), count);
  Interrupt interrupt;
  Statistics statistics;
  if (std::filesystem::exists(moments)) statistics = load_statistics(moments);
  if (statistics.origin != key) {
    Progress progress("moments of inputs", "windows");
    Calibration how{.state = state, .progress = [&](i64 done, i64 all) {
      progress.show(done, all);
      return !interrupt.asked();
    }};
    statistics = calibrate(file, windows, origin, threads, how);
    if (statistics.windows < count) stopped("moments", statistics.windows, count);
    statistics.origin = key;
    save_statistics(moments, statistics);
  }
  {
    Progress progress("gradients of outputs", "windows");
    i64 seen = 0;
    statistics.gradient = measure_gradients(file, windows, threads, [&](i64 done, i64 all) {
      seen = done;
      progress.show(done, all);
      return !interrupt.asked();
    }, nullptr, {.path = state + ".gradients", .key = key}, &statistics);
    if (statistics.gradient.empty()) stopped("gradients", seen, count);
  }
  std::filesystem::remove(moments);
  statistics.origin = origin;
  return statistics;
}

}  // namespace bitkerf
