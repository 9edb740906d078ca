#include "core/threads.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace bitkerf {
namespace {

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// About 50 us of spinning on current processors (a pause takes 40-140 cycles): longer than the serial stretches
// between two products of one token, far shorter than a person notices when the program is idle.
constexpr int kSpins = 2000;

}  // namespace

struct Threads::Team {
  std::vector<std::thread> workers;
  // What a step hands over lies in one cache line: it travels to a worker once.
  alignas(64) std::atomic<unsigned> round{0};
  std::atomic<bool> stop{false};
  Function function = nullptr;
  void* argument = nullptr;
  // Steps that workers have finished, since the start (it may wrap). Counting up, it is written by workers only, so
  // that starting a step need not fetch its cache line first.
  alignas(64) std::atomic<unsigned> finished{0};
  alignas(64) std::atomic<int> sleepers{0};
  std::mutex mutex;
  std::condition_variable wake;

  void work(int worker) {
    unsigned seen = 0;
    for (;;) {
      int spins = 0;
      while (round.load(std::memory_order_acquire) == seen) {
        if (++spins < kSpins) {
          pause_briefly();
          continue;
        }
        std::unique_lock lock(mutex);
        sleepers.fetch_add(1);
        wake.wait(lock, [&] { return round.load() != seen; });
        sleepers.fetch_sub(1);
      }
      seen++;
      if (stop.load(std::memory_order_relaxed)) return;
      function(argument, worker);
      finished.fetch_add(1, std::memory_order_release);
    }
  }

  void start_round() {
    // seq_cst on both sides: either the sleeper sees the new round before it waits, or we see the sleeper.
    round.fetch_add(1);
    if (sleepers.load() > 0) {
      std::lock_guard lock(mutex);
      wake.notify_all();
    }
  }
};

Threads::Threads(int count) : count_(count) {
  CHECK_GE(count, 1);
  CHECK_LE(count, kMaxThreads);
  if (count == 1) return;
  team_ = std::make_unique<Team>();
  for (int worker = 1; worker < count; worker++) team_->workers.emplace_back([this, worker] { team_->work(worker); });
}

Threads::~Threads() {
  if (!team_) return;
  team_->stop.store(true);
  team_->start_round();
  for (std::thread& worker : team_->workers) worker.join();
}

void Threads::dispatch(Function function, void* argument) noexcept {
  if (!team_) return function(argument, 0);
  team_->function = function;
  team_->argument = argument;
  team_->start_round();
  function(argument, 0);
  unsigned all = team_->round.load(std::memory_order_relaxed) * static_cast<unsigned>(count_ - 1);
  for (int spins = 0; team_->finished.load(std::memory_order_acquire) != all; spins++) {
    // A worker may have lost its core to another program: let it have ours.
    if (spins < kSpins) pause_briefly();
    else std::this_thread::yield();
  }
}

}  // namespace bitkerf
