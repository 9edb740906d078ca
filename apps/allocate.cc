// Which rows or inputs of a model should get the better of two recipes, and what encodings of activations do to its inputs.
#include "compress/activations.h"

#include <cmath>
#include <map>

#include "compress/allocate.h"
#include "compress/refine_thresholds.h"
#include "core/cpu.h"
#include "core/error.h"
#include "gather.h"
#include "interrupt.h"
#include "load.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

namespace bitkerf {
namespace {

Statistics statistics_of(const Options& options) { return options.calibration.empty() ? Statistics() : load_statistics(options.calibration); }

// Of --file, or of the calibration mix.
std::vector<std::vector<Token>> windows_of(const Options& options, const ModelFile& file, i64 count) {
  std::vector<CalibrationText> texts = options.file.empty() ? calibration_texts(options) : std::vector<CalibrationText>{{options.file, read_text_file(options.file), 1}};
  return calibration_windows(*tokenizer_of(file), texts, count);
}

struct Sum {
  double zeros = 0, values = 0, error = 0, harm = 0, most = 0;
  i64 inputs = 0;
  void add(const ActivationStudy& s) {
    zeros += s.zeros, values += s.values, harm += s.harm, error += s.size > 0 ? s.error / s.size : 0, most += std::log(std::max(s.most_to_median(), 1e-9)), inputs++;
  }
};

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> list;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    if (end > at) list.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return list;
}

// What each encoding of --act does, by kind of input.
int judge(const Options& options) {
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  std::vector<ActivationPolicy> policies;
  for (const std::string& text : split_list(options.activation)) policies.emplace_back(text);
  Statistics statistics = statistics_of(options);
  std::vector<std::vector<Token>> windows = windows_of(options, *file, options.chunks > 0 ? options.chunks : 2);
  std::vector<std::vector<ActivationStudy>> studies;
  {
    Progress progress("inputs", "windows");
    Interrupt interrupt;
    studies = study_activations(*file, windows, policies, statistics, threads, [&](i64 done, i64 all) {
      progress.show(done, all);
      return !interrupt.asked();
    });
  }
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  std::string table = fmt::format("{:28} {:12} {:>10} {:>12} {:>12} {:>12}\n", "activations", "input of", "zeros", "error", "harm", "max/median");
  for (std::size_t p = 0; p < policies.size(); p++) {
    std::map<std::string, Sum> kinds;
    for (const ActivationStudy& study : studies[p]) {
      kinds[study.matrices[0].substr(study.matrices[0].rfind('.') + 1)].add(study);
      kinds["all"].add(study);
    }
    for (const auto& [kind, sum] : kinds) {
      const double inputs = static_cast<double>(sum.inputs), zeros = sum.zeros / sum.values, most = std::exp(sum.most / inputs);
      rows.push_back({{"activations", policies[p].text}, {"input_of", kind}, {"zero_share", zeros}, {"relative_error", sum.error / inputs}, {"harm", sum.harm}, {"max_to_median", most}});
      table += fmt::format("{:28} {:12} {:8.3f} % {:12.3e} {:12.3e} {:12.1f}\n", policies[p].text, kind, 100 * zeros, sum.error / inputs, sum.harm, most);
    }
  }
  if (options.json) print_json({{"rows", rows}});
  else print(table);
  return 0;
}

// "profile:4,8" with the recipe of 8 bits as --high: the recipe of 4 bits is the same but for its encoding.
void fill_profile(const Options& options, Allocation& allocation) {
  constexpr std::string_view kName = "profile:";
  const std::string wrong = fmt::format("--act '{}': expected profile:LOW,HIGH, bits of activations as in profile:4,8", options.activation);
  const std::size_t comma = options.activation.find(',');
  if (comma == std::string::npos || !options.low.empty()) throw Error(Fault::usage, wrong, "with --high RECIPE alone, whose encoding has HIGH bits");
  const std::string low = options.activation.substr(kName.size(), comma - kName.size()), high = options.activation.substr(comma + 1);
  const std::size_t bar = options.high.rfind('|');
  const std::string kind = "int" + high + ".";
  const std::size_t at = bar == std::string::npos ? bar : options.high.find(kind, bar);
  if (at == std::string::npos) throw Error(Fault::usage, wrong, fmt::format("--high 'hadamard | gptq/int8 | int_dot | int{}.row'", high));
  allocation.low = options.high;
  allocation.low.replace(at, kind.size(), "int" + low + ".");
  allocation.profile_tokens = options.tokens;
}

// For --refine of run, eval and bench.
int write_thresholds(const Options& options) {
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o FILE, for eval --refine @FILE");
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  Statistics statistics = statistics_of(options);
  std::vector<std::vector<Token>> windows = windows_of(options, *file, options.chunks > 0 ? options.chunks : 2);
  Interrupt interrupt;
  Progress progress("low parts", "windows");
  std::string text = choose_thresholds(*file, windows, statistics, options.share, threads, [&](i64 done, i64 all) {
    progress.show(done, all);
    return !interrupt.asked();
  });
  write_whole(options.output, text);
  print(text.substr(0, text.find('\n') + 1));
  return 0;
}

}  // namespace

int run_verb_allocate(const Options& options) {
  const bool profile = options.activation.starts_with("profile:");
  if (!options.activation.empty() && !profile) return judge(options);
  if (options.thresholds) return write_thresholds(options);
  Allocation allocation{.low = options.low, .high = options.high, .share = options.share, .deal = &deal(options.deal), .seed = static_cast<unsigned>(std::max<i64>(options.seed, 0))};
  if (profile) fill_profile(options, allocation);
  const bool inputs = options.inputs || profile;
  if (allocation.low.empty() || allocation.high.empty())
    throw Error(Fault::usage, "two recipes are wanted", "--low 'hadamard | gptq/int3.g64' --high 'hadamard | gptq/int5.g64' --calibration FILE");
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o PLAN, for quantize --recipe @PLAN");
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  Statistics statistics = statistics_of(options);
  std::string text;
  {
    Interrupt interrupt;
    Progress progress(inputs ? "inputs" : "rows", inputs ? "windows" : "M weights", inputs ? 1 : 1000000);
    auto shown = [&](i64 done, i64 all) {
      progress.show(done, all);
      return !interrupt.asked();
    };
    text = inputs ? allocate_inputs(*file, windows_of(options, *file, options.chunks > 0 ? options.chunks : 2), statistics, allocation, threads, shown)
                          : allocate_rows(*file, statistics, allocation, threads, shown);
  }
  write_whole(options.output, text);
  for (std::size_t at = 0; at < text.size() && text[at] == '#';) {
    const std::size_t end = text.find('\n', at) + 1;
    print(text.substr(at, end - at));
    at = end;
  }
  return 0;
}

}  // namespace bitkerf
