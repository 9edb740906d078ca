// One line on a terminal that says how far something is; nothing when stderr is no terminal or the thing is quick.
#pragma once

#include <chrono>
#include <string>

#include "core/view.h"

namespace bitkerf {

class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();  // wipes the line
  Progress(const Progress&) = delete;
  void show(i64 done, i64 all);

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  Clock::time_point start_, shown_;
  bool terminal_, visible_ = false;
};

}  // namespace bitkerf
