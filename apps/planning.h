// What `plan` and `compress` share: from options to a problem that the planner solves.
#pragma once

#include <memory>

#include <nlohmann/json.hpp>

#include "compress/calibration/statistics.h"
#include "compress/plan/matrices.h"
#include "compress/plan/plan.h"
#include "core/threads.h"
#include "options.h"

namespace bitkerf {

// Everything up to the choice: the model's matrices, statistics of calibration text, candidates with costs and harm.
// Stages are kept in the cache folder, so that the next plan of the model is quick and an interrupted one goes on.
struct Planning {
  std::unique_ptr<ModelFile> file;
  Threads threads;
  std::unique_ptr<ModelMatrices> matrices;
  Statistics statistics;
  PlanProblem problem;
  PlanGoal goal;

  explicit Planning(const Options& options);
};

// Of calibration text, from the cache folder or gathered now.
Statistics planning_statistics(const ModelFile& file, const Options& options, Threads& threads);
// --forms gguf; Fault::usage for others.
bool for_gguf(const Options& options);
// A plan's figures, for reports.
nlohmann::ordered_json plan_json(const PlanProblem& problem, const Plan& plan);

}  // namespace bitkerf
