// Seconds of a plan's candidates that agree with measured times of whole models. What is predicted of single products (cost.h)
// knows nothing of attention, norms, rotations of inputs and of what products do to each other in the caches; measured whole
// models do. One model per recipe tells how far the recipe's predictions are off; a plan that was measured corrects all.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "compress/plan/plan.h"

namespace bitkerf {

// A whole model that was measured; 0: was not.
struct MeasuredPlan {
  std::vector<int> chosen;       // a candidate per layer
  double seconds_decode = 0;     // of one token
  double seconds_prefill = 0;    // of the problem's prompt
};

// A plan whose layers all take the candidate of that recipe; layers without one take the candidate of the nearest size.
std::vector<int> uniform_choice(const PlanProblem& problem, const std::string& recipe);
// The candidates' recipes, each once, in the order in which they are met.
std::vector<std::string> candidate_recipes(const PlanProblem& problem);

// Multiplies the seconds of each recipe by a factor of its own, and sets what is there besides products (fixed_decode,
// fixed_prefill), so that the plans take as long as was measured. Seconds of plans that are not measured stay as they are.
void fit_seconds(PlanProblem& problem, std::span<const MeasuredPlan> measured);

// Multiplies all seconds so that this plan takes as long as was measured.
void correct_seconds(PlanProblem& problem, const MeasuredPlan& measured);

}  // namespace bitkerf
