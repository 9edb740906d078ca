// Weights of integer products and the loop over their panels.
#pragma once

#include "core/buffer.h"
#include "core/threads.h"
#include "core/view.h"
#include "integer/execute/kernels.h"

namespace bitkerf {

// Codes of 8 bits, -127 to 127, in panels of 32 rows (kernels.h); columns are filled up to a multiple of 4 with zeros.
struct IntegerPanels {
  i64 rows = 0, cols = 0;
  Buffer<std::uint8_t> codes;  // (panels, quads, 32, 4)

  IntegerPanels() = default;
  IntegerPanels(i64 rows, i64 cols);  // all codes 0
  void set(i64 row, i64 col, int code) {
    codes[((row / kIntegerRows * quads() + col / kQuad) * kIntegerRows + row % kIntegerRows) * kQuad + col % kQuad] = static_cast<std::uint8_t>(code + 128);
  }
  i64 panels() const { return ceil_div(rows, kIntegerRows); }
  i64 quads() const { return ceil_div(cols, kQuad); }
  const std::uint8_t* panel(i64 i) const { return codes.data() + i * quads() * kIntegerRows * kQuad; }
};

// y (tokens, >= panels * 32) = x (tokens, >= quads * 4) W^T; rows beyond the matrix's are zeros.
void multiply_panels(const IntegerPanels& weights, Matrix<const std::int8_t> x, Matrix<std::int32_t> y, const IntegerKernels& kernels,
                     Threads& threads) noexcept;

}  // namespace bitkerf
