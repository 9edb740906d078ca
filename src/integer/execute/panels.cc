#include "integer/execute/panels.h"

namespace bitkerf {

IntegerPanels::IntegerPanels(i64 rows, i64 cols) : rows(rows), cols(cols), codes(panels() * quads() * kIntegerRows * kQuad, false) {
  for (i64 i = 0; i < codes.size(); i++) codes[i] = 128;
}

void multiply_panels(const IntegerPanels& weights, Matrix<const std::int8_t> x, Matrix<std::int32_t> y, const IntegerKernels& kernels,
                     Threads& threads) noexcept {
  // Tokens in groups that stay in the first-level cache beside a panel.
  constexpr i64 kGroup = 32;
  threads.split(weights.panels(), [&](i64 first, i64 last) {
    for (i64 t = 0; t < x.rows; t += kGroup)
      for (i64 p = first; p < last; p++)
        kernels.products(weights.panel(p), x.row(t), x.stride, x.rows - t < kGroup ? x.rows - t : kGroup, weights.quads(),
                         y.row(t) + p * kIntegerRows, y.stride);
  });
}

}  // namespace bitkerf
