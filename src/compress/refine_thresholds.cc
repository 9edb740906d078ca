#include "compress/refine_thresholds.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/error.h"
#include "forms/product_study/refine.h"
#include "models/list.h"

namespace bitkerf {
namespace {

// Fills the counts of sizes.
void count(const ModelFile& file, std::span<const std::vector<Token>> windows, const std::shared_ptr<Refinement>& refinement, Threads& threads,
           const std::function<bool(i64 done, i64 all)>& progress) {
  ModelOptions options;
  options.refinement = refinement;
  std::unique_ptr<Model> model = load_model(file, options, threads);
  i64 longest = 1, done = 0;
  for (const std::vector<Token>& window : windows) longest = std::max(longest, static_cast<i64>(window.size()));
  Arena arena(model->scratch(longest, longest));
  Context context{threads, arena, chosen_isa()};
  std::unique_ptr<SequenceState> sequence = model->new_sequence(longest);
  OwnedMatrix<float> hidden(1, model->shape().width);
  for (const std::vector<Token>& window : windows) {
    if (progress && !progress(done, static_cast<i64>(windows.size()))) fail(Fault::run_time, "stopped");
    sequence->truncate(0);
    const auto length = static_cast<i64>(window.size());
    const i64 last = length - 1;
    Run run{0, length, 0};
    SequenceState* state = sequence.get();
    model->forward(window, {.runs = {&run, 1}, .tokens = length}, {&state, 1}, {&last, 1}, hidden.view(), context);
    done++;
  }
  if (progress) progress(done, static_cast<i64>(windows.size()));
}

struct Sizes {
  double weight = 1;  // square root of the mean gradient: what a size counts
  std::vector<i64> blocks = std::vector<i64>(kSizeClasses);
};

}  // namespace

std::string choose_thresholds(const ModelFile& file, std::span<const std::vector<Token>> windows, const Statistics& statistics, double share, Threads& threads,
                              const std::function<bool(i64 done, i64 all)>& progress) {
  auto refinement = std::make_shared<Refinement>("blk.*=0", true);
  count(file, windows, refinement, threads, progress);
  std::map<std::string, Sizes> matrices;  // a matrix may be in several parts
  double all = 0;
  for (const RefinedMatrix& m : refinement->matrices()) {
    Sizes& sizes = matrices[m.name];
    for (std::size_t i = 0; i < kSizeClasses; i++) sizes.blocks[i] += m.sizes[i];
    all += static_cast<double>(m.blocks);
    if (auto gradient = statistics.gradient.find(m.name); gradient != statistics.gradient.end() && !gradient->second.empty())
      sizes.weight = std::sqrt(std::accumulate(gradient->second.begin(), gradient->second.end(), 0.0) / static_cast<double>(gradient->second.size()));
  }
  struct Class {
    double harm, blocks;
  };
  std::vector<Class> classes;
  for (const auto& [name, sizes] : matrices)
    for (std::size_t i = 0; i < kSizeClasses; i++)
      if (sizes.blocks[i] > 0) classes.push_back({size_of_class(i) * sizes.weight, static_cast<double>(sizes.blocks[i])});
  std::sort(classes.begin(), classes.end(), [](const Class& a, const Class& b) { return a.harm > b.harm; });
  double taken = 0, least = INFINITY;
  for (const Class& c : classes) {
    if (taken + c.blocks > share * all) break;
    taken += c.blocks, least = c.harm;
  }
  std::string text = fmt::format("# for --refine: {:.2f} % of the low parts of these {} windows\n", 100 * taken / all, windows.size());
  for (const auto& [name, sizes] : matrices) {
    // A little less, so that a class's own lower end is above it.
    const double threshold = sizes.weight > 0 ? least / sizes.weight * (1 - 0x1p-20) : INFINITY;
    text += fmt::format("{} = {:.9g}\n", name, threshold);
  }
  return text;
}

}  // namespace bitkerf
