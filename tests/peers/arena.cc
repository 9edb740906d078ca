// For compare_arena.py: reads graphs, writes what the arena planner says.
// Standard input, numbers divided by white space, any number of times: alignment, bytes of the arena (0: the smallest), most nodes, tensors,
// then of each its bytes and whether it is outside; operators, then of each its number of inputs, these, its number of outputs, these; the
// number of results, these. Standard output: a JSON object a graph.
#include <chrono>
#include <cstdio>
#include <iostream>

#include <fmt/format.h>

#include "compress/plan/arena.h"

using namespace bitkerf;

namespace {

i64 number() {
  i64 n = 0;
  std::cin >> n;
  return n;
}
std::vector<int> list() {
  std::vector<int> items(static_cast<std::size_t>(number()));
  for (int& item : items) item = static_cast<int>(number());
  return items;
}
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

int main() {
  for (i64 alignment = 0; std::cin >> alignment;) {
    const i64 bytes = number();
    const MemoryOptions options{.alignment = alignment, .most_nodes = number()};
    MemoryGraph graph;
    graph.tensors.resize(static_cast<std::size_t>(number()));
    for (MemoryGraph::Tensor& tensor : graph.tensors) tensor.bytes = number(), tensor.outside = number() != 0;
    graph.operators.resize(static_cast<std::size_t>(number()));
    for (MemoryGraph::Operator& op : graph.operators) op.inputs = list(), op.outputs = list();
    graph.results = list();
    const double start = now();
    std::optional<MemoryPlan> plan = bytes > 0 ? plan_memory(graph, bytes, options) : least_arena(graph, options);
    const double seconds = now() - start;
    std::optional<MemoryPlan> greedy;
    if (bytes > 0) {
      greedy = greedy_memory(graph, bytes, options);
    } else {
      // The smallest arena in which best fit moves nothing that the smallest of all arenas does not.
      i64 size = plan->bytes;
      while (!(greedy = greedy_memory(graph, size, options)) || greedy->moved > plan->moved) size += alignment;
    }
    auto text = [&](const std::optional<MemoryPlan>& p) {
      if (!p) return std::string("null");
      const std::string trouble = trouble_of(graph, *p, bytes > 0 ? bytes : p->bytes, options);
      return fmt::format("{{\"moved\": {}, \"bytes\": {}, \"proven\": {}, \"trouble\": \"{}\"}}", p->moved, p->bytes, p->proven, trouble);
    };
    std::printf("{\"plan\": %s, \"greedy\": %s, \"seconds\": %.3f}\n", text(plan).c_str(), text(greedy).c_str(), seconds);
    std::fflush(stdout);
  }
}
