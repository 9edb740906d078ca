// Gathers the statistics of a model's inputs and outputs that quantizers, transforms and the planner know of data.
#include <set>

#include "core/cpu.h"
#include "core/error.h"
#include "gather.h"
#include "load.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {

int run_verb_calibrate(const Options& options) {
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o FILE");
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  Statistics statistics = gather_statistics(*file, options, options.output + ".part", threads);
  save_statistics(options.output, statistics);
  std::set<const InputStatistics*> inputs;
  for (const auto& [name, input] : statistics.inputs) inputs.insert(input.get());
  if (options.json) {
    print_json({{"output", options.output}, {"windows", statistics.windows}, {"inputs", inputs.size()}, {"matrices", statistics.inputs.size()},
                {"gradients", statistics.gradient.size()}});
  } else {
    print(fmt::format("{}: {} inputs of {} matrices and gradients of {} over {} windows of {} tokens\n", options.output, inputs.size(),
                      statistics.inputs.size(), statistics.gradient.size(), statistics.windows, kCalibrationWindow));
  }
  return 0;
}

}  // namespace bitkerf
