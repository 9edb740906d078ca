#include "progress.h"

#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

namespace bitkerf {

Progress::Progress(std::string what, std::string unit, i64 unit_size)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      unit_size_(unit_size),
      start_(Clock::now()),
      shown_(start_),
      terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (visible_) std::fputs("\r\x1b[K", stderr);
}

void Progress::show(i64 done, i64 all) {
  if (!terminal_ || all <= 0 || done <= 0) return;
  Clock::time_point now = Clock::now();
  double elapsed = std::chrono::duration<double>(now - start_).count();
  if (elapsed < 1 || now - shown_ < std::chrono::milliseconds(200)) return;
  shown_ = now;
  visible_ = true;
  double left = elapsed * static_cast<double>(all - done) / static_cast<double>(done);
  std::fputs(
      fmt::format("\r\x1b[K{}: {} % of {} {}, {:.0f} s left", what_, done * 100 / all, all / unit_size_, unit_, left)
          .c_str(),
      stderr);
}

}  // namespace bitkerf
