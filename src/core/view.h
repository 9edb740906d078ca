// Views of memory that somebody else owns: a pointer, a shape and a stride. Cheap to copy, never freed.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "core/check.h"

namespace bitkerf {

using i64 = std::int64_t;

struct Shape {
  i64 rows = 0;  // outputs of a linear layer
  i64 cols = 0;  // inputs of a linear layer
  bool operator==(const Shape&) const = default;
};

// (rows, cols), row-major; consecutive rows are `stride` elements apart (stride >= cols).
template <class T>
struct Matrix {
  T* data = nullptr;
  i64 rows = 0, cols = 0, stride = 0;

  Matrix() = default;
  Matrix(T* data, i64 rows, i64 cols) : Matrix(data, rows, cols, cols) {}
  Matrix(T* data, i64 rows, i64 cols, i64 stride) : data(data), rows(rows), cols(cols), stride(stride) {}
  // A writable view may be passed where a read-only one is expected.
  template <class U>
    requires(std::is_same_v<const U, T> && !std::is_const_v<U>)
  Matrix(const Matrix<U>& m) : Matrix(m.data, m.rows, m.cols, m.stride) {}

  T* row(i64 r) const { return data + r * stride; }
  T& operator()(i64 r, i64 c) const { return data[r * stride + c]; }
  std::span<T> row_span(i64 r) const { return {row(r), static_cast<std::size_t>(cols)}; }
  Matrix sub_rows(i64 first, i64 count) const { return {row(first), count, cols, stride}; }
  Matrix sub_cols(i64 first, i64 count) const { return {data + first, rows, count, stride}; }
};

template <class T>
constexpr T round_up(T value, T step) { return (value + step - 1) / step * step; }
template <class T>
constexpr T ceil_div(T a, T b) { return (a + b - 1) / b; }

}  // namespace bitkerf
