// After rounding with feedback: one code after the other moves where the errors of all others in its row want it, which the
// loop could not know of those that it fixed later. Every move lowers dW (H + damping) dW^T; a few sweeps find most of it.
// (Coordinate descent, as in QuantEase and CDQuant, from GPTQ's codes on.)
#pragma once

#include <span>

#include "compress/quantizers/hessian.h"
#include "core/threads.h"
#include "formats/number_format.h"

namespace bitkerf {

struct DescentTask {
  Matrix<const float> weights;  // (rows, cols)
  Matrix<const float> moment;   // (cols, cols) H
  double damping = 0;           // added to its diagonal
  int sweeps = 8;               // at most; fewer where a row comes to rest
};
// Moves codes of `quantized` in place, scales stay. fall[r] <= 0: what row r's damped error changed by. Formats whose rows
// have levels of their own are left alone. Rows do not depend on each other, so neither do results on the threads.
void descend(const DescentTask& task, Quantized& quantized, std::span<double> fall, Threads& threads);

}  // namespace bitkerf
