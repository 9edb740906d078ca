// When each operator of a graph runs, where its tensors lie in an arena, and which of them leave it meanwhile, so that the fewest
// bytes move between the arena and the memory outside. One search for three uses: the smallest arena of activations, weights that
// stream through a budget of memory, state that is kept elsewhere. (COSMA: Combined Scheduling, Memory Allocation and Tensor
// Replacement for Minimizing Off-Chip Data Accesses; the rules are its integer program's, the search is ours.)
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/view.h"

namespace bitkerf {

// At most 64 tensors and 64 operators.
struct MemoryGraph {
  struct Tensor {
    i64 bytes = 0;
    bool outside = false;  // has a copy outside from the start, as weights and a graph's inputs have
  };
  struct Operator {
    std::vector<int> inputs, outputs;  // tensors; each is the output of at most one operator, or outside
  };
  std::vector<Tensor> tensors;
  std::vector<Operator> operators;
  std::vector<int> results;  // tensors that are there at the end
};

// Rules: an operator's inputs and outputs are in the arena while it runs, at addresses that nothing else has. A tensor stays where it
// is from one step to the next or leaves; it comes back at a later step than the next, from its copy outside, to any address. A copy
// is made when it leaves for the first time (which moves its bytes); coming back moves its bytes too.
struct MemoryPlan {
  struct Stay {
    int tensor = 0, first = 0, last = 0;  // steps, both included
    i64 address = 0;
  };
  std::vector<int> order;  // of operators
  std::vector<Stay> stays;
  i64 moved = 0;           // bytes
  i64 bytes = 0;           // of the arena, as far as it is used
  bool proven = false;     // nothing moves less (plan_memory), nothing is smaller (least_arena)
};

struct MemoryOptions {
  i64 alignment = 64;          // of addresses
  i64 most_nodes = 2'000'000;  // that are looked at; then the best plan known is handed out, unproven
};

// The plan that moves least within an arena of that many bytes; nothing when there is none (or none was found).
std::optional<MemoryPlan> plan_memory(const MemoryGraph& graph, i64 bytes, const MemoryOptions& options = {});
// The smallest arena in which nothing leaves that is needed again.
MemoryPlan least_arena(const MemoryGraph& graph, const MemoryOptions& options = {});
// In the given order: what is needed last leaves first (Belady), new tensors go to the smallest gap they fit in.
std::optional<MemoryPlan> greedy_memory(const MemoryGraph& graph, i64 bytes, const MemoryOptions& options = {});

// Replays a plan by the rules alone. Empty when it keeps them and `moved` and `bytes` are right; otherwise what is wrong.
std::string trouble_of(const MemoryGraph& graph, const MemoryPlan& plan, i64 bytes, const MemoryOptions& options = {});

}  // namespace bitkerf
