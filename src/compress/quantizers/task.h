// What a quantizer is given.
#pragma once

#include <vector>

#include "core/threads.h"
#include "formats/number_format.h"

namespace bitkerf {

class Hessian;

struct QuantizeTask {
  Matrix<const float> weights;                // (rows, cols), finite; already transformed
  const NumberFormat& format;
  Threads& threads;
  const Hessian* hessian = nullptr;           // of the input as the transform makes it; nullptr: nothing is known of data
  std::vector<double>* row_error = nullptr;   // quantizers that know it leave dW H dW^T of every row here; others nothing
};

}  // namespace bitkerf
