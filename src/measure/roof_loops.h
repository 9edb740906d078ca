// The loops that reach a machine's limits, one set per instruction-set path: dependency-free, with as many
// independent accumulators as hide the latency (4 cycles x 2 per cycle on Zen 5: at least 8).
#pragma once

#include <cstddef>

#include "core/cpu.h"

namespace bitkerf {

// How often one kind of instruction can be issued, counted in what it does for a product.
struct RateLoop {
  const char* name;
  const char* unit;     // what is counted: op (a multiply-add is two), B (bytes looked up), w (weights)
  const char* needs;    // a feature in cpu_info() that the path does not imply; "" for none
  std::int64_t amount;  // units per iteration
  int (*run)(std::int64_t iterations) noexcept;  // the result only keeps the compiler from leaving the loop out
};

// The four loops of STREAM on floats [first, last), multiples of 16; arrays on 64-byte boundaries.
// Stores go through the cache, which reads the line first, or past it.
struct StreamLoop {
  using Run = void (*)(float* a, float* b, float* c, float factor, std::int64_t first, std::int64_t last) noexcept;
  const char* name;
  int arrays;  // that are read or written: what the benchmark counts
  Run through_cache, past_cache;
};
inline constexpr int kStreamLoops = 4;

struct RoofLoops {
  Isa isa;
  const RateLoop* rates;  // the first two are int8_dot and f32_fma
  int rate_count;
  // Additions that wait for each other, one per cycle: the clock. The same beside the widest multiply-adds.
  std::int64_t clock_cycles;  // per iteration of both
  int (*clock)(std::int64_t iterations) noexcept;
  int (*clock_under_load)(std::int64_t iterations) noexcept;
  // Reads every byte `passes` times; `bytes` is a multiple of 1024, data on a 64-byte boundary.
  int (*read)(const std::byte* data, std::int64_t bytes, std::int64_t passes) noexcept;
  const StreamLoop* streams;  // copy, scale, add, triad
};

const RoofLoops& roof_loops(Isa isa);
const RoofLoops& roof_loops_portable();
const RoofLoops& roof_loops_avx2();
const RoofLoops& roof_loops_avx512();

}  // namespace bitkerf
