// Two recipes for one model, and which parts get the better one, as the text of a recipe: rows of all matrices ranked together
// (MixLLM), or inputs whose activations want more bits (FlexQ, Agile-Quant). What counts is predicted divergence: half of
// gradient times squared error of the output.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "compress/calibration/statistics.h"
#include "core/threads.h"
#include "files/model_file.h"
#include "files/tokenizer.h"

namespace bitkerf {

// How the better recipe is dealt out.
struct DealRow {
  std::string_view name, about;
  bool per_matrix;  // every matrix gets the same share
  bool by_harm;     // otherwise by chance
};
std::span<const DealRow> deals();
const DealRow& deal(std::string_view name);  // unknown names answer with the known ones (Fault::usage)

struct Allocation {
  std::string low, high;  // what stands right of '=' in a recipe; transforms without parameters
  double share = 0.1;     // of weights (rows), of products (inputs) that get `high`
  const DealRow* deal = &deals()[0];
  unsigned seed = 1;      // of chance
  std::string matrices = "blk.*";  // others are kept
  // Inputs: 0: a product costs what it multiplies. Otherwise what `high` takes longer than `low` here, timed with so many tokens;
  // `share` is then of the time that `low` saves, and inputs where it saves none get `high`.
  i64 profile_tokens = 0;
};

// Wants moments of inputs and gradients of outputs (Fault::usage). progress(weights done, in all); false stops (Fault::run_time).
std::string allocate_rows(const ModelFile& file, const Statistics& statistics, const Allocation& allocation, Threads& threads,
                          const std::function<bool(i64 done, i64 all)>& progress);
// `low` and `high` differ in the encoding of activations; errors are measured on these windows.
std::string allocate_inputs(const ModelFile& file, std::span<const std::vector<Token>> windows, const Statistics& statistics, const Allocation& allocation,
                            Threads& threads, const std::function<bool(i64 done, i64 all)>& progress);

}  // namespace bitkerf
