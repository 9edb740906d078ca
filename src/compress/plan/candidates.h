// What can be done with each matrix of a model, what it costs in bytes and seconds, and how much it harms.
#pragma once

#include <functional>
#include <string>

#include "compress/calibration/statistics.h"
#include "compress/plan/cost.h"
#include "compress/plan/matrices.h"
#include "compress/plan/plan.h"
#include "compress/recipe.h"
#include "core/threads.h"

namespace bitkerf {

struct CandidateOptions {
  const Statistics* statistics = nullptr;  // nullptr: harm is the weights' own relative error
  std::vector<i64> token_counts = {};      // of the calibration text, by token; empty: not known
  std::string cache;                       // file that errors are kept in, so that the next plan is quick; empty: none
  std::string key;                         // of what the errors depend on besides the recipe; kept errors of another key are dropped
  i64 prompt_tokens = 512;
  const Probe* probe = nullptr;            // of this machine
  const CostModel* costs = nullptr;        // learned costs of products; nullptr: the roofline
  bool gguf = false;                       // types of GGUF alone, for quantize_model_as_gguf()
  std::vector<std::string> recipes = {};   // instead of the table's, for every matrix
  // done and all in weights times candidates; false: stop, errors so far are kept.
  std::function<bool(i64 done, i64 all)> progress = {};
};

PlanProblem make_candidates(const ModelFile& file, const ModelMatrices& matrices, const CandidateOptions& options, Threads& threads);

}  // namespace bitkerf
