// Whether the time of a product tells something of the values that it multiplies (docs/timing.md): Welch's t-test between
// calls with constant and with random operands, as in dudect (Reparaz, Balasch, Verbauwhede, 2017).
//
// Positive controls leak on purpose. Where they are not noticed, the machine is too noisy and silence means nothing.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/cpu.h"

namespace bitkerf {

struct TwoTimes {  // of many calls, in order, in ticks
  std::vector<double> a, b;
};
struct WelchT {
  double raw, squared;  // of the times; of their squared deviations from the mean of their class
  double mean_a, mean_b;
};
// Leaves out the slowest 5 % of all by one cut: interrupts, other programs.
WelchT welch(TwoTimes times);

struct TimingCase {
  std::string kernel;   // "bit_planes/expand/avx512 int4.g64 int8.g64", or a control's name
  std::string classes;  // "x zero", ...: the constant class; the other one is random
  i64 tokens = 1;
  bool control = false; // leaks on purpose
  double t = 0;         // the larger of the two, of the run with the median
  std::vector<double> runs;
  double nanoseconds_a = 0, nanoseconds_b = 0;
  bool ok = false;      // |t| < 4.5 in every run; of controls: > 50
};
struct TimingOptions {
  i64 calls = 100000;
  int runs = 3;
  bool full = false;          // on every instruction set
  bool flush_subnormals = false;  // as --constant-time does
  std::string filter;
};
inline constexpr double kMostT = 4.5, kLeastControlT = 50;

std::vector<TimingCase> verify_timing(const TimingOptions& options, const std::function<void(const TimingCase&)>& done);

}  // namespace bitkerf
