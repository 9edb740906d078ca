// What a product costs on this machine: a forest learns how far each kernel stays from the roofline of the machine
// probe, from times that were measured; so a shape that nobody timed gets a sensible answer, and the spread of the trees
// says how sure it is. (GPPerf: Understanding GEMM Performance and Energy with random forests.)
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "compress/plan/forest.h"
#include "core/buffer.h"
#include "measure/probe.h"

namespace bitkerf {

// One product y (tokens, rows) = x (tokens, cols) W^T, by one kernel.
struct Work {
  std::string kernel;              // "bit_planes/expand": form and what reads it
  std::string format, activation;  // for people and for the choice among kernels; what a cost depends on is below
  int weight_bits = 0;             // of a code
  i64 weight_group = 0;            // weights per scale; cols when there is one per row
  bool has_minimum = false;
  int activation_bits = 32;        // 32: floats
  i64 activation_group = 0;        // columns per scale
  i64 tile_tokens = 1;             // that the kernel multiplies at once
  i64 rows = 0, cols = 0, tokens = 0;
  int threads = 1;
  bool cold = false;               // weights come from memory, as in decode of a model larger than the last cache
  double bytes = 0;                // of weights, as packed
};

struct TimedWork {
  Work work;
  double seconds = 0;
  double bound = 0;  // roofline_seconds() by the machine's figures of that moment; 0: not known
};

// The least time by the machine's figures: arithmetic or weights, whichever takes longer, and a join.
double roofline_seconds(const Work& work, const Probe& probe);

// Above as many tokens arithmetic hides where the weights come from: such work is never marked as cold.
inline constexpr i64 kMostColdTokens = 16;

inline constexpr std::array<std::string_view, 20> kCostFeatures = {
    "kernel", "weight_bits", "activation_bits", "weight_group", "activation_group", "has_minimum", "bits_per_weight",
    "rows", "cols", "tokens", "threads", "ops", "intensity", "bytes_of_l2", "bytes_of_l3", "row_tail", "token_tail",
    "pass_tail", "cold", "bound"};

class CostModel {
 public:
  struct Estimate {
    double seconds;
    double factor;  // one standard deviation: from seconds / factor to seconds * factor
  };

  static CostModel train(std::span<const TimedWork> measured, const Probe& probe, const ForestOptions& options, Threads& threads);
  std::vector<Estimate> estimate(std::span<const Work> works, Threads& threads) const;
  // For a machine whose figures differ from the model's own by what ProbeWatch watches.
  std::vector<Estimate> estimate(std::span<const Work> works, const Probe& now, Threads& threads) const;
  // Row i: the features of works[i], in the order of kCostFeatures.
  OwnedMatrix<float> features(std::span<const Work> works) const;

  const Probe& probe() const { return probe_; }
  bool knows(std::string_view kernel) const;
  std::string to_bytes() const;
  static CostModel from_bytes(std::string_view bytes);  // Fault::file when damaged

 private:
  Probe probe_;
  std::vector<std::string> kernels_;  // their place is the feature
  Forest forest_;
};

// Where the model of a machine lies, beside its probe.
std::string cost_model_path(const std::string& folder, Isa isa, int threads);
CostModel load_cost_model(const std::string& folder, Isa isa, int threads);  // Fault::file when there is none

}  // namespace bitkerf
