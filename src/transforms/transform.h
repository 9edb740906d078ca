// Changes of basis of a matrix's input: y = W x = (W T^-1) (T x). A file keeps the rows of W T^-1, and the input is
// transformed as it is encoded (forms/encoding.h), once for all the products that read it. What T is follows from its
// name and the width alone, so every reader of one input shares it and a file need not keep it.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "core/buffer.h"
#include "core/cpu.h"
#include "core/threads.h"

namespace bitkerf {

// T for one width n. All functions: n floats to n floats, x and y may be the same; any thread; the same bits on every
// instruction set.
class Transform {
 public:
  virtual ~Transform() = default;
  virtual void input(Isa isa, const float* x, float* y) const noexcept = 0;     // y = T x
  virtual void weights(Isa isa, const float* x, float* y) const noexcept = 0;   // of a row of W, that of W T^-1
  virtual void original(Isa isa, const float* x, float* y) const noexcept = 0;  // the inverse of weights()
};

struct TransformRow {
  std::string_view name;
  std::string_view about;
  bool (*fits)(i64 width);
  std::unique_ptr<Transform> (*make)(i64 width);  // of widths that fit
};
// The table; rows live as long as the program.
std::span<const TransformRow> transforms();
const TransformRow& transform(std::string_view name);  // unknown names answer with the known ones (Fault::usage)

// Widths of more columns do not fit any transform: encoders keep a row on the stack.
inline constexpr i64 kMostTransformed = 65536;

// The transform of this width, which must fit; made at the first call and kept, so later calls neither allocate nor wait.
const Transform& transform_of(const TransformRow& row, i64 width);

// Of every row of W (rows, width), in place, those of W T^-1.
void transform_weights(const Transform& transform, Matrix<float> weights, Threads& threads);
// A moment matrix E[x x^T] (width, width) of inputs x, in place, as that of T x.
void transform_moment(const Transform& transform, Matrix<float> moment, Threads& threads);

}  // namespace bitkerf
