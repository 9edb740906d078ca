// What an encoding of activations does to a model's inputs: values that become zero (CrossQuant's quantization kernel), how
// even the columns are, and the error of the outputs it makes. Weights stay as they are.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compress/calibration/statistics.h"
#include "compress/input_transforms.h"
#include "files/model_file.h"
#include "files/tokenizer.h"
#include "forms/encoding.h"

namespace bitkerf {

// "int8.row", "cross(0.15) | int4.row"
struct ActivationPolicy {
  explicit ActivationPolicy(std::string_view text);  // Fault::usage
  std::string text;
  const InputTransform* rule = nullptr;
  double argument = 0;
  const Encoding* plain;  // behind the transform
};

// Of one input under one policy, over all tokens seen.
struct ActivationStudy {
  std::vector<std::string> matrices;  // that read the input, names without ".weight"
  i64 cols = 0, rows = 0;             // of the input; of all the matrices
  double values = 0, zeros = 0;       // zeros that were none before rounding
  double error = 0, size = 0;         // squares of outputs' errors, of outputs
  double harm = 0;                    // 1/2 sum over rows of gradient times the mean squared error: nats per token; 0 without gradients
  std::vector<float> largest;         // max |T x| of every column
  double zero_share() const { return values > 0 ? zeros / values : 0; }
  double most_to_median() const;      // of `largest`
};

// studies[p][i]: policy p, input i in the order of the model. statistics: maxima for transforms that learn, and gradients.
std::vector<std::vector<ActivationStudy>> study_activations(const ModelFile& file, std::span<const std::vector<Token>> windows,
                                                            std::span<const ActivationPolicy> policies, const Statistics& statistics, Threads& threads,
                                                            const std::function<bool(i64 done, i64 all)>& progress = {});

}  // namespace bitkerf
