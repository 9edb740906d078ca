// Which candidate each layer takes: harm is made small within budgets, or bytes within a harm. A plan is text, the lines of a
// recipe (compress/recipe.h), so that it can be read, edited, kept and run again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compress/plan/budget.h"
#include "compress/plan/divergence_curve.h"
#include "core/view.h"

namespace bitkerf {

// One way to treat a layer, with what it costs.
struct Candidate {
  std::string recipe;         // what stands right of '=' in a recipe's line
  i64 bytes = 0;              // in the file: data, padding and what the header says of it
  double harm = 0;            // what it adds to the divergence from the source by itself, nats per token
  double seconds_decode = 0;  // of one token
  double seconds_prefill = 0; // of the prompt that the budget speaks of
};

struct PlanLayer {
  std::string matrix;         // left of '=': "blk.0.attn_q", "token_embd[0:2048]"
  i64 weights = 0;
  std::vector<Candidate> candidates;
};

// Everything that choosing needs.
struct PlanProblem {
  std::string model;          // for people
  i64 parameters = 0;         // of the whole model, for bits per weight
  i64 source_bytes = 0;       // of the source's file
  i64 fixed_bytes = 0;        // of the file, whatever is chosen
  i64 other_memory = 0;       // while it runs: cache and scratch
  double fixed_decode = 0, fixed_prefill = 0;
  i64 prompt_tokens = 512;    // that seconds_prefill are of
  double source_decode = 0;   // seconds per token of the source; 0: not known
  double uniform_decode = 0;  // seconds per token at uniform 4 bits, for "1.2x"; 0: not known
  std::string harm_unit;      // what `harm` was computed from
  DivergenceCurve divergence; // what sums of harms mean for the whole model
  std::vector<PlanLayer> layers;
};

struct Plan {
  std::vector<int> chosen;    // a candidate per layer
  i64 bytes = 0;              // of the whole file, at most
  double harm = 0, seconds_decode = 0, seconds_prefill = 0;
  double gap = 0;             // how much less harm the best plan may have, at most
  double divergence = 0;      // predicted, from the source, nats per token
};

struct PlanGoal {
  std::vector<Budget> budgets;
  double max_divergence = 0;  // above 0: the fewest bytes with at most this predicted divergence (and within the budgets)
};

// Several budgets hold at once. Nothing when no plan is feasible; Fault::usage when two prompts of different lengths are limited.
std::optional<Plan> find_plan(const PlanProblem& problem, const PlanGoal& goal);
// The plan that exceeds the budgets by the least factor.
Plan nearest_plan(const PlanProblem& problem, const PlanGoal& goal);
// Fault::budget naming the nearest plan, whose seconds may have been measured.
[[noreturn]] void refuse(const PlanProblem& problem, const PlanGoal& goal, const Plan& nearest);
// find_plan(), or refuse().
Plan make_plan(const PlanProblem& problem, const PlanGoal& goal);

// What the goal allows a plan in all: bytes of the file, seconds of one token and of the prompt; infinity where nothing is said.
struct PlanLimits {
  double bytes, decode, prefill;
};
PlanLimits plan_limits(const PlanProblem& problem, const PlanGoal& goal);

// Of the lines that `forced` has no choice about: every layer whose name is a key has that candidate only (its recipe's text);
// Fault::usage when there is no such candidate.
void force(PlanProblem& problem, const std::map<std::string, std::string>& forced);

// The plan as text: comments, then a line a layer.
std::string plan_text(const PlanProblem& problem, const Plan& plan, const PlanGoal& goal);

// The Pareto set of bytes and harm: plans for `count` budgets from the smallest file to the least harm, evenly spaced in bytes.
std::vector<Plan> plan_curve(const PlanProblem& problem, int count);

// A layer's candidates as a table, the chosen one marked, with the price of a byte at this plan.
std::string explain(const PlanProblem& problem, const Plan& plan, const std::string& matrix);

}  // namespace bitkerf
