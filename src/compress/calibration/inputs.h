// Shows every input of every product of a model in float32, window by window: for what moments do not tell (rounding of
// activations, tokens one by one).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/threads.h"
#include "files/model_file.h"
#include "files/tokenizer.h"
#include "forms/linear.h"

namespace bitkerf {

// Products of one input (q, k and v): names without ".weight", matrices in float32.
struct SeenInput {
  std::vector<std::string> names;
  std::vector<const Linear*> matrices;
  Matrix<const float> x;  // (tokens, cols)
};

// The head is left out. progress(windows done, in all) may be empty; false stops.
void watch_inputs(const ModelFile& file, std::span<const std::vector<Token>> windows, Threads& threads, const std::function<void(const SeenInput&)>& see,
                  const std::function<bool(i64 done, i64 all)>& progress = {});

}  // namespace bitkerf
