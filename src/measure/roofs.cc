#include "measure/roofs.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstring>

#include "core/buffer.h"
#include "measure/clock.h"
#include "measure/roof_loops.h"

namespace bitkerf {
namespace {

// Far above the last-level cache, so that hardly a byte of the pass before is left in it; at most an eighth of the
// machine's memory. (Virtual machines may report the L3 of the whole package, of which a core reaches a small part.)
i64 stream_bytes() {
  i64 wanted = std::clamp<i64>(8 * cpu_info().l3_bytes, i64{256} << 20, i64{512} << 20);
  struct sysinfo memory {};
  if (sysinfo(&memory) == 0)
    wanted = std::min(wanted, static_cast<i64>(memory.totalram) * static_cast<i64>(memory.mem_unit) / 8);
  return std::max<i64>(wanted, 1 << 20);
}

}  // namespace

struct RoofMeter::State {
  State(Isa isa, Threads& team) : loops(roof_loops(isa)), threads(team), memory(stream_bytes(), false) {
    roofs.isa = isa;
    roofs.threads = threads.count();
    madvise(memory.data(), static_cast<std::size_t>(memory.size()), MADV_HUGEPAGE);
    // Each worker touches what it will read, so that its pages lie near it.
    threads.split(memory.size() / 1024, [&](i64 first, i64 last) {
      std::memset(memory.data() + first * 1024, 1, static_cast<std::size_t>((last - first) * 1024));
    });
  }

  // Seconds that all workers take for body(worker).
  template <class Body>
  double time(Body&& body) {
    double start = now();
    threads.each(body);
    return now() - start;
  }

  double read(i64 bytes, i64 passes) {
    i64 share = bytes / threads.count() / 1024 * 1024;
    double seconds = time([&](int worker) {
      sinks[worker % 64] += loops.read(memory.data() + worker * share, share, passes);
    });
    return static_cast<double>(share * threads.count() * passes) / seconds;
  }

  double compute(const RateLoop& loop, i64 iterations) {
    double seconds = time([&](int worker) { sinks[worker % 64] += loop.run(iterations); });
    return static_cast<double>(loop.amount * iterations * threads.count()) / seconds;
  }

  const RoofLoops& loops;
  Threads& threads;
  Buffer<std::byte> memory;
  Roofs roofs;
  int sinks[64] = {};
};

RoofMeter::RoofMeter(Isa isa, Threads& threads) : state_(std::make_unique<State>(isa, threads)) {}
RoofMeter::~RoofMeter() = default;

const Roofs& RoofMeter::measure(double seconds) {
  State& s = *state_;
  Roofs& best = s.roofs;
  auto keep = [](double& roof, double value) { roof = std::max(roof, value); };
  i64 cache = std::min<i64>(cpu_info().l3_bytes / 4, 8 << 20);
  constexpr i64 kIterations = 100000;  // some 0.2 ms of a 16-accumulator loop: far above the cost of a join
  double end = now() + seconds;
  do {
    keep(best.read_bytes_per_second, s.read(s.memory.size(), 1));
    if (cache >= (1 << 20) && cache <= s.memory.size() / 4) {
      s.read(cache, 1);
      keep(best.cache_bytes_per_second, s.read(cache, 16));
    }
    for (int i = 0; i < 4; i++) {
      keep(best.int8_ops_per_second, s.compute(s.loops.rates[0], kIterations));
      keep(best.float_ops_per_second, s.compute(s.loops.rates[1], kIterations));
    }
  } while (now() < end);
  return best;
}

}  // namespace bitkerf
