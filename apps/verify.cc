// verify kernels: is every kernel right, wherever it may be asked to? verify timing: does its time depend on values?
#include <cmath>

#include "core/error.h"
#include "output.h"
#include "verbs.h"
#include "verify/kernels.h"
#include "verify/timing.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;

int verify_kernels_verb(const Options& options) {
  VerifyOptions how;
  how.seeds = static_cast<int>(options.seeds);
  how.full = options.full;
  Json rows = Json::array();
  std::string wrong_rows;
  i64 subjects = 0, wrong = 0, compared = 0;
  double worst = 0;
  for (const Subject& subject : kernel_subjects(options.full)) {
    if (subject.name().find(options.filter) == std::string::npos) continue;
    subjects++;
    for (const KernelCase& row : verify_kernels(subject, how)) {
      compared += row.compared;
      worst = std::max(worst, row.worst);
      rows.push_back({{"kernel", row.kernel}, {"format", row.format}, {"activation", row.activation}, {"case", row.check},
                      {"ok", row.wrong.empty()}, {"compared", row.compared}, {"zero", row.zero}, {"error_of_bound", row.worst}, {"wrong", row.wrong}});
      if (row.wrong.empty()) continue;
      wrong++;
      wrong_rows += fmt::format("{:<30} {:<18} {:<13} {:<12} {}\n", row.kernel, row.format, row.activation, row.check, row.wrong);
    }
  }
  if (subjects == 0) throw Error(Fault::usage, fmt::format("--filter: nothing is named like '{}'", options.filter), "names are FORM FORMAT ENCODING, as in 'bit_planes int4 int8.g64'");
  if (options.json) {
    print_json({{"rows", rows}, {"subjects", subjects}, {"outputs_compared", compared}, {"largest_error_of_bound", worst}, {"wrong", wrong}});
  } else {
    std::string text;
    for (const KernelCheck& check : kernel_checks()) text += fmt::format("  {:<12} {}\n", check.name, check.about);
    print(fmt::format("{} matrices, {} cases, {} outputs compared; largest error of those with a bound only: {:.2f} of it\n\n{}\n{}{}\n", subjects,
                      rows.size(), compared, worst, text, wrong_rows, wrong == 0 ? "all verified" : fmt::format("{} cases are wrong", wrong)));
  }
  if (wrong > 0) fail(Fault::run_time, "{} of {} cases are wrong", wrong, rows.size());
  return 0;
}

int verify_timing_verb(const Options& options) {
  TimingOptions how;
  how.calls = options.calls;
  how.runs = static_cast<int>(options.timing_runs);
  how.full = options.full;
  how.flush_subnormals = options.constant_time;
  how.filter = options.filter;
  Json rows = Json::array();
  i64 leaks = 0, silent = 0;
  if (!options.json) print(fmt::format("{:<58} {:<17} {:>2} {:>9} {:>9}  |t| of {} runs of {} calls\n", "kernel", "constant class", "M", "ns", "random", how.runs, how.calls));
  verify_timing(how, [&](const TimingCase& c) {
    (c.control ? silent : leaks) += !c.ok;
    rows.push_back({{"kernel", c.kernel}, {"classes", c.classes}, {"tokens", c.tokens}, {"control", c.control}, {"t", c.runs},
                    {"ns_constant", c.nanoseconds_a}, {"ns_random", c.nanoseconds_b}, {"ok", c.ok}});
    if (options.json) return;
    std::string t;
    for (double v : c.runs) t += fmt::format(" {:6.1f}", std::fabs(v));
    print(fmt::format("{:<58} {:<17} {:>2} {:>9.1f} {:>9.1f} {}{}\n", c.kernel, c.classes, c.tokens, c.nanoseconds_a, c.nanoseconds_b, t,
                      c.ok ? "" : c.control ? "   NOT NOTICED" : "   LEAKS"));
  });
  if (options.json) print_json({{"rows", rows}, {"limit", kMostT}, {"control_limit", kLeastControlT}, {"leaks", leaks}, {"controls_not_noticed", silent}});
  if (silent > 0) throw Error(Fault::run_time, fmt::format("{} controls that leak were not noticed: this machine is too noisy for the test", silent), "let nothing else run, or ask for more --calls");
  if (leaks > 0) fail(Fault::run_time, "the time of {} of {} cases depends on values", leaks, rows.size());
  return 0;
}

struct What {
  std::string_view name;
  int (*run)(const Options& options);
};
constexpr What kWhat[] = {{"kernels", verify_kernels_verb}, {"timing", verify_timing_verb}};

}  // namespace

int run_verb_verify(const Options& options) {
  for (const What& row : kWhat)
    if (row.name == options.topic) return row.run(options);
  throw Error(Fault::usage, options.topic.empty() ? "verify: what? expected kernels or timing" : fmt::format("verify: expected kernels or timing, not '{}'", options.topic),
              "bitkerf verify kernels");
}

}  // namespace bitkerf
