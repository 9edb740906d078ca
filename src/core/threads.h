// A fixed team of workers. A model does hundreds of joins per token, so a join is a spin of some microseconds
// before it is a sleep. Work is split statically: which worker computes an output never changes its bits, because
// one worker sums one output in one order.
#pragma once

#include <memory>
#include <type_traits>

#include "core/view.h"

namespace bitkerf {

inline constexpr int kMaxThreads = 256;

class Threads {
 public:
  explicit Threads(int count);  // 1 to kMaxThreads; the calling thread is one of them
  ~Threads();
  Threads(const Threads&) = delete;
  int count() const { return count_; }

  // Calls body(worker) once on every worker, 0 .. count-1, and returns when all are done. Not reentrant.
  template <class Body>
  void each(Body&& body) noexcept {
    using Plain = std::remove_reference_t<Body>;
    dispatch([](void* b, int worker) { (*static_cast<Plain*>(b))(worker); }, const_cast<std::remove_const_t<Plain>*>(&body));
  }
  // Calls body(first, last) on every worker with its share of [0, tasks), shares differing by at most one.
  template <class Body>
  void split(i64 tasks, Body&& body) noexcept {
    if (tasks <= 0) return;
    if (count_ == 1 || tasks == 1) return body(i64{0}, tasks);
    each([&](int worker) {
      i64 first = tasks * worker / count_, last = tasks * (worker + 1) / count_;
      if (first < last) body(first, last);
    });
  }

 private:
  using Function = void (*)(void*, int);
  void dispatch(Function function, void* argument) noexcept;
  struct Team;
  std::unique_ptr<Team> team_;
  int count_;
};

}  // namespace bitkerf
