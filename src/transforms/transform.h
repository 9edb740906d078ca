// Changes of basis of a matrix's input: y = W x = (W T^-1) (T x). A file keeps the rows of W T^-1, and the input is
// transformed as it is encoded (forms/encoding.h), once for all the products that read it. What T is follows from its
// name, the width and, for some, parameters that calibration chose for one input and that a file keeps.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "core/buffer.h"
#include "core/cpu.h"
#include "core/threads.h"

namespace bitkerf {

// T for one width n. All functions: n floats to n floats, x and y may be the same; any thread; the same bits on every
// instruction set. Where T picks columns, it has fewer outputs: input() and weights() give outputs(n) floats and original()
// takes as many, zeros in place of the rest.
class Transform {
 public:
  virtual ~Transform() = default;
  virtual i64 outputs(i64 width) const noexcept { return width; }
  virtual void input(Isa isa, const float* x, float* y) const noexcept = 0;     // y = T x
  virtual void weights(Isa isa, const float* x, float* y) const noexcept = 0;   // of a row of W, that of W T^-1
  virtual void original(Isa isa, const float* x, float* y) const noexcept = 0;  // the inverse of weights()
};

struct TransformRow {
  std::string_view name;
  std::string_view about;
  bool (*fits)(i64 width);
  std::unique_ptr<Transform> (*make)(i64 width, std::span<const float> parameters);  // of widths that fit
  // Whether these are parameters of a transform of that width; nullptr: it has none.
  bool (*takes)(i64 width, std::span<const float> parameters) = nullptr;
  bool has_parameters() const { return takes != nullptr; }
};
// The table; rows live as long as the program.
std::span<const TransformRow> transforms();
const TransformRow& transform(std::string_view name);  // unknown names answer with the known ones (Fault::usage)

// Widths of more columns do not fit any transform: encoders keep a row on the stack.
inline constexpr i64 kMostTransformed = 65536;

// The transform of this width, which must fit, and with these parameters, which it must take; made at the first call and kept,
// so later calls with the same neither allocate nor wait.
const Transform& transform_of(const TransformRow& row, i64 width, std::span<const float> parameters = {});

// Of every row of W (rows, width), in place, those of W T^-1; a row keeps its width, what is behind the outputs is zero.
void transform_weights(const Transform& transform, Matrix<float> weights, Threads& threads);
// A moment matrix E[x x^T] (width, width) of inputs x, in place, as that of T x.
void transform_moment(const Transform& transform, Matrix<float> moment, Threads& threads);

}  // namespace bitkerf
