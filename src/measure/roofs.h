// The limits of this machine, measured: what no kernel can beat. Every speed that bitkerf reports stands next to its
// share of one of these (docs/measuring.md).
#pragma once

#include <memory>

#include "core/cpu.h"
#include "core/threads.h"

namespace bitkerf {

struct Roofs {
  Isa isa = Isa::portable;
  int threads = 1;
  double read_bytes_per_second = 0;   // streams from memory, far above the last cache: the limit of decode
  double cache_bytes_per_second = 0;  // streams that fit the last-level cache; 0 when its size is unknown
  double int8_ops_per_second = 0;     // 8-bit products summed to 32 bits, a multiply-add is two: the limit of prefill
  double float_ops_per_second = 0;    // float32 multiply-adds, likewise
};

// measure() takes about `seconds` (at least one pass over the buffer, some 20 ms). The best of all tries so far counts:
// other load only ever slows a try down. Making the meter touches its buffer (up to 512 MiB), which takes longer.
class RoofMeter {
 public:
  RoofMeter(Isa isa, Threads& threads);
  ~RoofMeter();
  const Roofs& measure(double seconds);  // the best so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitkerf
