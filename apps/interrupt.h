// Ctrl-C during long work: the work is asked to stop at its next safe place instead of being killed.
#pragma once

#include <csignal>

namespace bitkerf {

// One at a time. A second signal ends the program at once.
class Interrupt {
 public:
  Interrupt();   // catches SIGINT and SIGTERM
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  bool asked() const;

 private:
  struct sigaction interrupt_ {}, terminate_ {};  // what was there before
};

}  // namespace bitkerf
