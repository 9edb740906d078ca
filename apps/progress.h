// One line on a terminal that says how far something is; nothing when stderr is no terminal or the thing is quick.
#pragma once

#include <chrono>
#include <string>

#include "core/view.h"

namespace bitkerf {

class Progress {
 public:
  // Amounts are shown in `unit`s of `unit_size`.
  Progress(std::string what, std::string unit, i64 unit_size = 1);
  ~Progress();  // wipes the line
  Progress(const Progress&) = delete;
  void show(i64 done, i64 all);

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_, unit_;
  i64 unit_size_;
  Clock::time_point start_, shown_;
  bool terminal_, visible_ = false;
};

}  // namespace bitkerf
