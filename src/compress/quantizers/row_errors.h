// What rounding did to the rows of a matrix.
#pragma once

#include <vector>

#include "compress/calibration/statistics.h"
#include "core/threads.h"
#include "formats/number_format.h"

namespace bitkerf {

struct RowError {
  double of_output = 0;  // dW_r H dW_r^T
  double of_weights = 0; // |dW_r|^2
};
// moment: H; with fewer than two rows the diagonal of `input` stands for it, or without one the identity. Blocks of rows that no
// thread divides, so that sums do not depend on the number of threads.
std::vector<RowError> row_errors(Matrix<const float> weights, const Quantized& quantized, Matrix<const float> moment, const InputStatistics* input,
                                 Threads& threads);

}  // namespace bitkerf
