// Owners of memory. A Buffer starts on a 64-byte boundary and is padded by 64 readable bytes, so kernels may
// over-read (never over-write) without checking.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

#include "core/check.h"
#include "core/view.h"

namespace bitkerf {

inline constexpr std::size_t kAlignment = 64;

// `count` elements of a trivial type, zeroed on request. Movable, not copyable.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(i64 count, bool zeroed = true);

  T* data() { return memory_.get(); }
  const T* data() const { return memory_.get(); }
  i64 size() const { return count_; }
  T& operator[](i64 i) { return memory_.get()[i]; }
  const T& operator[](i64 i) const { return memory_.get()[i]; }
  std::span<T> span() { return {data(), static_cast<std::size_t>(count_)}; }
  std::span<const T> span() const { return {data(), static_cast<std::size_t>(count_)}; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> memory_;
  i64 count_ = 0;
};

// A Buffer with a shape.
template <class T>
class OwnedMatrix {
 public:
  OwnedMatrix() = default;
  OwnedMatrix(i64 rows, i64 cols) : buffer_(rows * cols), rows_(rows), cols_(cols) {}
  Matrix<T> view() { return {buffer_.data(), rows_, cols_}; }
  Matrix<const T> view() const { return {buffer_.data(), rows_, cols_}; }
  i64 rows() const { return rows_; }
  i64 cols() const { return cols_; }
  T& operator()(i64 r, i64 c) { return buffer_[r * cols_ + c]; }
  const T& operator()(i64 r, i64 c) const { return buffer_[r * cols_ + c]; }

 private:
  Buffer<T> buffer_;
  i64 rows_ = 0, cols_ = 0;
};

// Throws std::bad_alloc when the system has no more; main() and the server report it as Fault::memory.
void* allocate_aligned(std::size_t bytes, bool zeroed);
// Bytes that programs could take now without others being swapped out; 0: unknown.
i64 available_memory();

template <class T>
Buffer<T>::Buffer(i64 count, bool zeroed) : count_(count) {
  static_assert(std::is_trivially_copyable_v<T>);
  CHECK_GE(count, 0);
  memory_.reset(static_cast<T*>(allocate_aligned(static_cast<std::size_t>(count) * sizeof(T), zeroed)));
}

}  // namespace bitkerf
