// What `plan` and `compress` share: from options to a problem that the planner solves.
#pragma once

#include <memory>

#include <nlohmann/json.hpp>

#include "compress/calibration/statistics.h"
#include "compress/plan/matrices.h"
#include "compress/plan/plan.h"
#include "core/threads.h"
#include "options.h"
#include "speed.h"

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
  std::string key;  // of what errors of candidates depend on

  explicit Planning(const Options& options);
};

// The plan within the goal. Budgets of speed are kept on this machine, not only in the predictor's eyes: candidates and the plan
// are measured as files of the same layout (compress/plan/stand_in.h), in turns with uniform 4 bits, and what was predicted is
// corrected until the plan keeps them. Fault::budget naming the nearest plan otherwise.
struct SettledPlan {
  Plan plan;
  std::unique_ptr<SpeedMeter> meter = {};  // whose reference is uniform 4 bits; nullptr: speed is not limited, so nothing was measured
  Speed uniform = {}, measured = {};       // seconds
  int rounds = 0;                          // plans that were measured
};
SettledPlan settle_plan(Planning& planning, const Options& options);
nlohmann::ordered_json speed_json(const SettledPlan& settled, const Speed& measured);
std::string speed_text(const SettledPlan& settled, const Speed& measured);

// Of calibration text, from the cache folder or gathered now.
Statistics planning_statistics(const ModelFile& file, const Options& options, Threads& threads);
// --forms gguf; Fault::usage for others.
bool for_gguf(const Options& options);
// A plan's figures, for reports.
nlohmann::ordered_json plan_json(const PlanProblem& problem, const Plan& plan);

}  // namespace bitkerf
