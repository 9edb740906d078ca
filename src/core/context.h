// What a computation needs besides its operands. Passed down, never global.
#pragma once

#include <string_view>

#include "core/buffer.h"
#include "core/cpu.h"
#include "core/threads.h"

namespace bitkerf {

// Scratch memory for activations: a stack sized once, when the model is built, so that the token loop never
// allocates. Taking more than was reserved is a bug of ours (CHECK).
class Arena {
 public:
  explicit Arena(i64 bytes) : memory_(bytes, false) {}
  i64 bytes() const { return memory_.size(); }
  i64 used() const { return used_; }

  // Uninitialised, on a 64-byte boundary, with 64 bytes behind it that may be read.
  template <class T>
  T* take(i64 count) noexcept {
    i64 bytes = bytes_of<T>(count);
    CHECK_LE(used_ + bytes, memory_.size());
    T* p = reinterpret_cast<T*>(memory_.data() + used_);
    used_ += bytes;
    return p;
  }
  template <class T>
  Matrix<T> matrix(i64 rows, i64 cols) noexcept { return {take<T>(rows * cols), rows, cols}; }
  // What take<T>(count) uses: for those who add up a reservation.
  template <class T>
  static i64 bytes_of(i64 count) { return round_up<i64>(count * static_cast<i64>(sizeof(T)) + 64, 64); }

  // Gives back everything taken during its life.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), used_(arena.used_) {}
    ~Scope() { arena_.used_ = used_; }
    Scope(const Scope&) = delete;

   private:
    Arena& arena_;
    i64 used_;
  };

 private:
  Buffer<std::byte> memory_;
  i64 used_ = 0;
};

class InputObserver;  // forms/linear.h

struct Context {
  Threads& threads;
  Arena& arena;
  Isa isa;
  // Forces the kernels of this name (PanelKernels::name) on the matrices that have them; for benches and tests.
  std::string_view kernel = {};
  InputObserver* observer = nullptr;  // of the inputs of products, while statistics are gathered
};

}  // namespace bitkerf
