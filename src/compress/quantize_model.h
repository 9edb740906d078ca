// A model file to one of ours, matrix by matrix, as a recipe says.
#pragma once

#include <functional>
#include <string>

#include "compress/recipe.h"
#include "core/threads.h"
#include "files/model_file.h"

namespace bitkerf {

struct QuantizeReport {
  i64 matrices = 0, kept = 0;
  i64 weights = 0;            // in the quantized matrices
  i64 packed_bytes = 0;       // of them
  i64 split_weights = 0;      // in columns of 16 bits beside others
  double squared_error = 0;   // relative to the sum of squares of the weights
};

struct Statistics;

// Writes `out` (temporary file, then renamed). progress(done, all) in weights. statistics: for quantizers that look at data.
QuantizeReport quantize_model(const ModelFile& source, const RecipeBook& recipes, const std::string& out, Threads& threads,
                              const std::function<void(i64 done, i64 all)>& progress,
                              const Statistics* statistics = nullptr);
// The same as a GGUF file that other programs read: every matrix as blocks of a GGUF type that holds the recipe's format
// (compress/stored_export.h; Fault::usage where there is none, or where rows differ), everything else as in the source.
QuantizeReport quantize_model_as_gguf(const ModelFile& source, const RecipeBook& recipes, const std::string& out, Threads& threads,
                                      const std::function<void(i64 done, i64 all)>& progress, const Statistics* statistics = nullptr);

}  // namespace bitkerf
