// The machine in numbers, for the planner: what each level of memory gives, how often each kind of instruction is
// issued, the clock under load, what a join costs; by number of threads. Measured once and kept in a file, because a
// plan should not depend on what else ran at the moment.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/cpu.h"

namespace bitkerf {

struct Figure {
  std::string name;  // "read.memory", "rate.int8_dot"
  std::string unit;  // B/s, op/s, w/s (weights), Hz, s
  int threads;
  double value;   // the upper quartile of all rounds
  double spread;  // how far the median round is from it, as a share
};

struct Probe {
  std::string machine;  // probe_machine() of where it was measured
  Isa isa = Isa::portable;
  int threads = 1;  // the most it was measured with
  std::int64_t measured_at = 0;  // seconds since 1970
  std::vector<Figure> figures;

  // Of the nearest number of threads that was measured, from below; 0 when there is no such figure.
  double value(std::string_view name, int thread_count) const;
};

// What the figures depend on besides path and threads: the processor as CPUID shows it, and its caches.
std::string probe_machine();

// Rounds until the best quarter of every figure's agrees within 1 %, at least 8, for at most `seconds` (and one round,
// some 0.2 s a number of threads). A round measures everything once, so that all figures see the same machine.
Probe measure_probe(Isa isa, int threads, double seconds);

// Memory and joins as they are at the moment: what the host of a virtual machine changes while a program runs, by moving
// its cores together or apart. Making one touches memory of twelve times the last cache.
class ProbeWatch {
 public:
  ProbeWatch(Isa isa, int threads);
  ~ProbeWatch();
  void refresh(Probe& probe);  // some 20 ms; the figures become the medians of the last seven measurements

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Text of the file that keeps a probe; from_text() throws Fault::file when it is damaged.
std::string to_text(const Probe& probe);
Probe probe_from_text(const std::string& text);
// "machine-<hash of probe_machine()>-avx512-t2": the name of everything that is kept about one machine.
std::string probe_key(Isa isa, int threads);
// The probe kept in `folder`; measured and kept there when there is none, or when `again`. A file that is damaged or of
// another machine counts as none; a folder that cannot be written is no error.
Probe load_probe(const std::string& folder, Isa isa, int threads, bool again, double seconds = 6);

}  // namespace bitkerf
