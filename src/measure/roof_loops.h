// The loops that reach a machine's limits, one set per instruction-set path: dependency-free, with as many
// independent accumulators as hide the latency (4 cycles x 2 per cycle on Zen 5: at least 8).
#pragma once

#include <cstddef>

#include "core/cpu.h"

namespace bitkerf {

struct RoofLoops {
  Isa isa;
  std::int64_t int8_ops;  // operations per iteration
  int (*int8)(std::int64_t iterations) noexcept;
  std::int64_t float_ops;
  int (*floats)(std::int64_t iterations) noexcept;
  // Reads every byte once; `bytes` is a multiple of 1024, data on a 64-byte boundary.
  int (*read)(const std::byte* data, std::int64_t bytes) noexcept;
};

// The results only keep the compiler from leaving the loops out.
const RoofLoops& roof_loops_portable();
const RoofLoops& roof_loops_avx2();
const RoofLoops& roof_loops_avx512();

}  // namespace bitkerf
