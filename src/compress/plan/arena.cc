#include "compress/plan/arena.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "core/check.h"
#include "core/error.h"

namespace bitkerf {
namespace {

using Set = std::uint64_t;
constexpr i64 kNever = std::numeric_limits<i64>::max() / 4;
constexpr Set bit(int i) { return Set{1} << i; }

template <class Visit>
void each(Set set, Visit&& visit) {
  for (; set; set &= set - 1) visit(std::countr_zero(set));
}

// What the search asks of a graph all the time, as sets.
struct Sets {
  std::vector<i64> size, bytes;  // of tensors: rounded up to the alignment, and as they are
  std::vector<Set> inputs, outputs, needs;  // of operators; the operators that must have run before
  std::vector<Set> readers;      // of tensors: operators
  Set outside = 0, results = 0;
  Set all = 0;                   // operators

  Sets(const MemoryGraph& graph, i64 alignment) {
    CHECK_LE(graph.tensors.size(), 64u);
    CHECK_LE(graph.operators.size(), 64u);
    CHECK_GE(alignment, 1);
    std::vector<int> maker(graph.tensors.size(), -1);
    for (std::size_t t = 0; t < graph.tensors.size(); t++) {
      bytes.push_back(graph.tensors[t].bytes);
      size.push_back(ceil_div(graph.tensors[t].bytes, alignment) * alignment);
      if (graph.tensors[t].outside) outside |= bit(static_cast<int>(t));
    }
    readers.resize(graph.tensors.size());
    for (std::size_t o = 0; o < graph.operators.size(); o++) {
      inputs.push_back(0), outputs.push_back(0), needs.push_back(0);
      for (int t : graph.operators[o].inputs) inputs[o] |= bit(t), readers[static_cast<std::size_t>(t)] |= bit(static_cast<int>(o));
      for (int t : graph.operators[o].outputs) outputs[o] |= bit(t), maker[static_cast<std::size_t>(t)] = static_cast<int>(o);
      all |= bit(static_cast<int>(o));
    }
    for (int t : graph.results) results |= bit(t);
    for (std::size_t o = 0; o < inputs.size(); o++)
      each(inputs[o], [&](int t) {
        if (int m = maker[static_cast<std::size_t>(t)]; m >= 0) needs[o] |= bit(m);
        else CHECK(outside & bit(t));
      });
  }
  i64 room(Set tensors) const {
    i64 sum = 0;
    each(tensors, [&](int t) { sum += size[static_cast<std::size_t>(t)]; });
    return sum;
  }
  i64 moving(Set tensors) const {
    i64 sum = 0;
    each(tensors, [&](int t) { sum += bytes[static_cast<std::size_t>(t)]; });
    return sum;
  }
  // Tensors that are needed after `done` operators.
  Set live(Set tensors, Set done) const {
    Set live = 0;
    each(tensors, [&](int t) {
      if ((results & bit(t)) || (readers[static_cast<std::size_t>(t)] & ~done)) live |= bit(t);
    });
    return live;
  }
};

// Before a step: what has run, what lies in the arena and is needed again, what has a copy outside, what has left just now.
struct State {
  Set done = 0, resident = 0, copied = 0, left = 0;
  bool operator==(const State&) const = default;
};
struct StateHash {
  std::size_t operator()(const State& s) const {
    Set h = s.done * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 29) ^ s.resident) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 31) ^ s.copied) * 0x94d049bb133111ebu;
    h = (h ^ (h >> 30) ^ s.left) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
  }
};

// Addresses for stays whose sizes and steps are known: the lowest packing in [0, limit], if there is one. Pushing every tensor down
// until it touches another or 0 never makes a packing higher, so of packings it is enough to look at those; taken by ascending
// address, each tensor then lies on the highest of those before it that it meets.
class Packing {
 public:
  Packing(const Sets& sets, std::vector<MemoryPlan::Stay>& stays, i64 limit, i64& nodes) : sets_(sets), stays_(stays), limit_(limit), nodes_(nodes), floor_(stays.size()), placed_(stays.size()) {}
  bool find() { return place(0, 0, -1); }

 private:
  i64 size(std::size_t i) const { return sets_.size[static_cast<std::size_t>(stays_[i].tensor)]; }
  bool meet(std::size_t i, std::size_t j) const { return stays_[i].first <= stays_[j].last && stays_[j].first <= stays_[i].last; }
  bool place(std::size_t count, i64 lowest, int last) {
    if (count == stays_.size()) return true;
    if (--nodes_ < 0) return false;
    for (std::size_t i = 0; i < stays_.size(); i++)
      if (!placed_[i] && std::max(floor_[i], lowest) + size(i) > limit_) return false;  // no later tensor makes room
    const std::vector<i64> floors = floor_;
    for (std::size_t i = 0; i < stays_.size(); i++) {
      // Of tensors at one address that do not meet the order is of no matter: ascending.
      if (placed_[i] || floors[i] < lowest || (floors[i] == lowest && static_cast<int>(i) < last)) continue;
      placed_[i] = true;
      stays_[i].address = floors[i];
      for (std::size_t j = 0; j < stays_.size(); j++)
        if (!placed_[j] && meet(i, j)) floor_[j] = std::max(floor_[j], floors[i] + size(i));
      if (place(count + 1, floors[i], static_cast<int>(i))) return true;
      floor_ = floors;
      placed_[i] = false;
    }
    return false;
  }
  const Sets& sets_;
  std::vector<MemoryPlan::Stay>& stays_;
  const i64 limit_;
  i64& nodes_;
  std::vector<i64> floor_;  // where a tensor would lie, on what is placed
  std::vector<char> placed_;
};

class Search {
 public:
  // may_leave: tensors that are needed again may leave the arena.
  Search(const Sets& sets, i64 bytes, bool may_leave, i64 nodes) : sets_(sets), bytes_(bytes), may_leave_(may_leave), nodes_(nodes) {}

  // Least bytes that move from here on when addresses are of no matter; kNever: impossible.
  i64 least() { return to_go({0, 0, sets_.outside, 0}); }
  bool exhausted() const { return nodes_ < 0; }

  // The cheapest plan; `plan` is set when there is one. False: gave up.
  std::optional<MemoryPlan> run() {
    for (i64 allowed = least(); allowed < kNever && !exhausted(); allowed = next_) {
      next_ = kNever;
      steps_.clear();
      if (walk({0, 0, sets_.outside, 0}, 0, allowed)) {
        plan_.moved = allowed;
        plan_.bytes = 0;
        for (const MemoryPlan::Stay& stay : plan_.stays) plan_.bytes = std::max(plan_.bytes, stay.address + sets_.size[static_cast<std::size_t>(stay.tensor)]);
        plan_.proven = true;
        return plan_;
      }
    }
    return std::nullopt;
  }

 private:
  struct Step {
    int op;
    Set present;  // while it runs
  };
  // Every way to take a step: visit(operator, tensors that are present, cost, state after it) returns true to stop.
  template <class Visit>
  bool each_step(const State& state, Visit&& visit) {
    for (int op = 0; op < static_cast<int>(sets_.inputs.size()); op++) {
      const auto o = static_cast<std::size_t>(op);
      if ((state.done & bit(op)) || (sets_.needs[o] & ~state.done)) continue;
      // At the end results come back that are not in the arena.
      const Set wanted = sets_.inputs[o] | ((state.done | bit(op)) == sets_.all ? sets_.results : 0);
      const Set needed = wanted | sets_.outputs[o], present = needed | state.resident;
      const Set fetched = wanted & ~state.resident & ~sets_.outputs[o];
      if ((fetched & ~state.copied) || (fetched & state.left) || sets_.room(present) > bytes_) continue;
      const i64 fetching = sets_.moving(fetched);
      const Set done = state.done | bit(op), stays = sets_.live(present, done), copied = sets_.live(state.copied, done);
      // What leaves before its next use may as well leave right after this one: that takes no more room at any step.
      const Set may = may_leave_ ? stays & needed : 0;
      for (Set leaving = 0;; leaving = (leaving - may) & may) {
        if (--nodes_ < 0) return true;
        if (visit(op, present, fetching + sets_.moving(leaving & ~state.copied), State{done, stays & ~leaving, copied | leaving, leaving})) return true;
        if (leaving == may) break;
      }
    }
    return false;
  }

  i64 to_go(const State& state) {
    if (state.done == sets_.all) return sets_.results & ~state.resident ? kNever : 0;
    if (auto known = known_.find(state); known != known_.end()) return known->second;
    i64 least = kNever;
    each_step(state, [&](int, Set, i64 cost, const State& after) {
      if (cost < least) least = std::min(least, cost + to_go(after));
      return false;
    });
    if (!exhausted()) known_[state] = least;
    return least;
  }

  // Depth first along all ways whose cost in the end is at most `allowed` as far as sizes go, until one can be given addresses.
  bool walk(const State& state, i64 cost, i64 allowed) {
    if (state.done == sets_.all) return cost == allowed && addresses();  // cheaper ones were looked at before
    bool found = false;
    each_step(state, [&](int op, Set present, i64 step, const State& after) {
      const i64 rest = to_go(after);
      if (rest >= kNever) return false;
      if (const i64 total = cost + step + rest; total > allowed) {
        next_ = std::min(next_, total);
        return false;
      }
      steps_.push_back({op, present});
      found = walk(after, cost + step, allowed);
      if (!found) steps_.pop_back();
      return found;
    });
    return found;
  }

  bool addresses() {
    plan_.order.clear();
    plan_.stays.clear();
    std::vector<int> open(sets_.size.size(), -1);  // its stay
    Set before = 0;
    for (std::size_t t = 0; t < steps_.size(); t++) {
      plan_.order.push_back(steps_[t].op);
      each(steps_[t].present, [&](int tensor) {
        int& stay = open[static_cast<std::size_t>(tensor)];
        if (!(before & bit(tensor))) stay = static_cast<int>(plan_.stays.size()), plan_.stays.push_back({tensor, static_cast<int>(t), static_cast<int>(t), 0});
        plan_.stays[static_cast<std::size_t>(stay)].last = static_cast<int>(t);
      });
      before = steps_[t].present;
    }
    return Packing(sets_, plan_.stays, bytes_, nodes_).find();
  }

  const Sets& sets_;
  const i64 bytes_;
  const bool may_leave_;
  i64 nodes_, next_ = kNever;
  std::unordered_map<State, i64, StateHash> known_;
  std::vector<Step> steps_;
  MemoryPlan plan_;
};

// The smallest number in (low, high] with yes(number), when yes(high) holds and a larger number never turns yes into no.
template <class Yes>
i64 first_true(i64 low, i64 high, Yes&& yes) {
  while (high - low > 1)
    if (const i64 middle = low + (high - low) / 2; yes(middle)) high = middle;
    else low = middle;
  return high;
}

}  // namespace

std::optional<MemoryPlan> greedy_memory(const MemoryGraph& graph, i64 bytes, const MemoryOptions& options) {
  const Sets sets(graph, options.alignment);
  MemoryPlan plan;
  std::vector<int> open(graph.tensors.size(), -1);  // its stay, while it lasts
  std::vector<int> left(graph.tensors.size(), -2);  // the step at which it left
  Set copied = sets.outside, done = 0;
  // An order that respects what needs what: the given one.
  for (int step = 0; step < static_cast<int>(graph.operators.size()); step++) {
    int op = 0;
    while ((done & bit(op)) || (sets.needs[static_cast<std::size_t>(op)] & ~done)) op++;
    const auto o = static_cast<std::size_t>(op);
    const Set needed = sets.inputs[o] | sets.outputs[o];
    auto next_use = [&](int t) {
      for (int later = 0; later < 64; later++)
        if ((sets.readers[static_cast<std::size_t>(t)] & bit(later)) && !(done & bit(later)) && later != op) return later;
      return 64;
    };
    std::vector<int> fresh;
    each(needed, [&](int t) {
      if (open[static_cast<std::size_t>(t)] < 0) fresh.push_back(t);
    });
    std::stable_sort(fresh.begin(), fresh.end(), [&](int a, int b) { return sets.size[static_cast<std::size_t>(a)] > sets.size[static_cast<std::size_t>(b)]; });
    for (int t : fresh) {
      const i64 size = sets.size[static_cast<std::size_t>(t)];
      for (;;) {
        std::vector<std::pair<i64, i64>> taken;  // address and end
        for (std::size_t other = 0; other < open.size(); other++)
          if (open[other] >= 0) taken.emplace_back(plan.stays[static_cast<std::size_t>(open[other])].address, plan.stays[static_cast<std::size_t>(open[other])].address + sets.size[other]);
        std::sort(taken.begin(), taken.end());
        taken.emplace_back(bytes, bytes);
        i64 best = -1, best_gap = kNever, from = 0;
        for (auto [address, end] : taken) {
          if (address - from >= size && address - from < best_gap) best = from, best_gap = address - from;
          from = std::max(from, end);
        }
        if (best >= 0) {
          open[static_cast<std::size_t>(t)] = static_cast<int>(plan.stays.size());
          plan.stays.push_back({t, step, step, best});
          if (!(sets.outputs[o] & bit(t))) {
            if (!(copied & bit(t)) || left[static_cast<std::size_t>(t)] == step) return std::nullopt;
            plan.moved += sets.bytes[static_cast<std::size_t>(t)];
          }
          break;
        }
        int victim = -1;
        for (std::size_t other = 0; other < open.size(); other++)
          if (open[other] >= 0 && !(needed & bit(static_cast<int>(other))) && (victim < 0 || next_use(static_cast<int>(other)) > next_use(victim))) victim = static_cast<int>(other);
        if (victim < 0) return std::nullopt;
        if (!(copied & bit(victim))) copied |= bit(victim), plan.moved += sets.bytes[static_cast<std::size_t>(victim)];
        left[static_cast<std::size_t>(victim)] = step;
        open[static_cast<std::size_t>(victim)] = -1;
      }
    }
    done |= bit(op);
    plan.order.push_back(op);
    for (std::size_t t = 0; t < open.size(); t++) {
      if (open[t] < 0) continue;
      plan.stays[static_cast<std::size_t>(open[t])].last = step;
      if (!sets.live(bit(static_cast<int>(t)), done)) open[t] = -1;
    }
  }
  for (int t : graph.results)
    if (open[static_cast<std::size_t>(t)] < 0) return std::nullopt;
  for (const MemoryPlan::Stay& stay : plan.stays) plan.bytes = std::max(plan.bytes, stay.address + sets.size[static_cast<std::size_t>(stay.tensor)]);
  return plan;
}

std::optional<MemoryPlan> plan_memory(const MemoryGraph& graph, i64 bytes, const MemoryOptions& options) {
  const Sets sets(graph, options.alignment);
  Search search(sets, bytes, true, options.most_nodes);
  if (std::optional<MemoryPlan> plan = search.run(); plan || !search.exhausted()) return plan;
  return greedy_memory(graph, bytes, options);
}

MemoryPlan least_arena(const MemoryGraph& graph, const MemoryOptions& options) {
  const Sets sets(graph, options.alignment);
  i64 all = 0;
  for (i64 size : sets.size) all += size;
  // Addresses of a packing that cannot be pushed down are sums of sizes.
  i64 unit = 0;
  for (i64 size : sets.size) unit = std::gcd(unit, size);
  unit = std::max(unit, options.alignment);
  bool gave_up = false;
  // First as if addresses were of no matter, then the first size that has them.
  i64 units = first_true(-1, all / unit, [&](i64 n) {
    Search search(sets, n * unit, false, options.most_nodes);
    const bool yes = search.least() < kNever;
    gave_up |= search.exhausted();
    return yes;
  });
  for (; units * unit < all && !gave_up; units++) {
    Search search(sets, units * unit, false, options.most_nodes);
    if (std::optional<MemoryPlan> plan = search.run()) return *plan;
    gave_up |= search.exhausted();
  }
  // Everything beside everything else always fits.
  auto greedy = [&](i64 bytes) { return greedy_memory(graph, bytes, options); };
  const i64 moved = greedy(all)->moved, smallest = first_true(0, all / unit, [&](i64 n) {
              std::optional<MemoryPlan> smaller = greedy(n * unit);
              return smaller && smaller->moved == moved;
            });
  MemoryPlan plan = greedy(smallest * unit).value();
  plan.proven = !gave_up;
  return plan;
}

std::string trouble_of(const MemoryGraph& graph, const MemoryPlan& plan, i64 bytes, const MemoryOptions& options) {
  const auto steps = static_cast<int>(plan.order.size());
  if (plan.order.size() != graph.operators.size()) return "not every operator runs once";
  std::vector<int> step_of(graph.operators.size(), -1);
  for (int t = 0; t < steps; t++) {
    const int op = plan.order[static_cast<std::size_t>(t)];
    if (op < 0 || op >= static_cast<int>(graph.operators.size()) || step_of[static_cast<std::size_t>(op)] >= 0) return "not every operator runs once";
    step_of[static_cast<std::size_t>(op)] = t;
  }
  std::vector<int> made(graph.tensors.size(), -1);
  for (std::size_t o = 0; o < graph.operators.size(); o++)
    for (int t : graph.operators[o].outputs) made[static_cast<std::size_t>(t)] = step_of[o];
  auto size = [&](int t) { return graph.tensors[static_cast<std::size_t>(t)].bytes; };
  auto there = [&](int tensor, int step) {
    return std::any_of(plan.stays.begin(), plan.stays.end(), [&](const MemoryPlan::Stay& s) { return s.tensor == tensor && s.first <= step && step <= s.last; });
  };
  i64 moved = 0, used = 0;
  for (std::size_t i = 0; i < plan.stays.size(); i++) {
    const MemoryPlan::Stay& a = plan.stays[i];
    const std::string name = fmt::format("tensor {} from step {} to {}", a.tensor, a.first, a.last);
    if (a.tensor < 0 || a.tensor >= static_cast<int>(graph.tensors.size()) || a.first < 0 || a.last < a.first || a.last >= steps) return name + ": no such stay";
    if (a.address < 0 || a.address % options.alignment != 0 || a.address + size(a.tensor) > bytes) return name + ": outside of the arena";
    used = std::max(used, a.address + ceil_div(size(a.tensor), options.alignment) * options.alignment);
    const int created = made[static_cast<std::size_t>(a.tensor)];
    if (a.first < created) return name + ": before it is made";
    bool earlier = false;
    for (std::size_t j = 0; j < plan.stays.size(); j++) {
      const MemoryPlan::Stay& b = plan.stays[j];
      if (i == j) continue;
      if (a.tensor == b.tensor && b.first <= a.first) {
        earlier = true;
        if (b.last + 1 >= a.first) return name + ": does not leave in between";
      }
      if (a.first <= b.last && b.first <= a.last && a.address < b.address + size(b.tensor) && b.address < a.address + size(a.tensor))
        return name + fmt::format(": on tensor {}", b.tensor);
    }
    if (a.first == created) continue;
    const bool outside = graph.tensors[static_cast<std::size_t>(a.tensor)].outside;
    if (!outside && !earlier) return name + ": comes from nowhere";
    moved += size(a.tensor);
  }
  for (std::size_t t = 0; t < graph.tensors.size(); t++) {  // the copy
    const auto count = std::count_if(plan.stays.begin(), plan.stays.end(), [&](const MemoryPlan::Stay& s) { return s.tensor == static_cast<int>(t); });
    if (!graph.tensors[t].outside && count > 1) moved += graph.tensors[t].bytes;
  }
  for (int t = 0; t < steps; t++) {
    const MemoryGraph::Operator& op = graph.operators[static_cast<std::size_t>(plan.order[static_cast<std::size_t>(t)])];
    for (int tensor : op.inputs)
      if (!there(tensor, t)) return fmt::format("step {}: input {} is not there", t, tensor);
    for (int tensor : op.outputs)
      if (!there(tensor, t)) return fmt::format("step {}: output {} is not there", t, tensor);
  }
  for (int tensor : graph.results)
    if (!there(tensor, steps - 1)) return fmt::format("result {} is not there at the end", tensor);
  if (moved != plan.moved) return fmt::format("{} bytes move, not {}", moved, plan.moved);
  if (used != plan.bytes) return fmt::format("{} bytes are used, not {}", used, plan.bytes);
  return {};
}

}  // namespace bitkerf
