#include "compress/quantizers/row_errors.h"

#include <cblas.h>

#include <algorithm>

namespace bitkerf {

std::vector<RowError> row_errors(Matrix<const float> weights, const Quantized& quantized, Matrix<const float> moment, const InputStatistics* input,
                                 Threads& threads) {
  constexpr i64 kRows = 32;
  const bool whole = moment.rows > 1;
  const auto cols = static_cast<blasint>(weights.cols);
  std::vector<RowError> errors(static_cast<std::size_t>(weights.rows));
  openblas_set_num_threads(1);  // `threads` share the work out
  threads.split(ceil_div(weights.rows, kRows), [&](i64 first_block, i64 last_block) {
    OwnedMatrix<float> change(kRows, weights.cols), product(kRows, weights.cols);
    for (i64 block = first_block; block < last_block; block++) {
      const i64 from = block * kRows, rows = std::min(kRows, weights.rows - from);
      for (i64 r = 0; r < rows; r++)
        for (i64 c = 0; c < weights.cols; c++) change(r, c) = weights(from + r, c) - quantized.weight(from + r, c);
      if (whole)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kRows, cols, cols, 1, change.view().data, static_cast<blasint>(change.view().stride),
                    moment.data, static_cast<blasint>(moment.stride), 0, product.view().data, static_cast<blasint>(product.view().stride));
      for (i64 r = 0; r < rows; r++) {
        RowError& error = errors[static_cast<std::size_t>(from + r)];
        for (i64 c = 0; c < weights.cols; c++) {
          const double d = change(r, c);
          error.of_weights += d * d;
          error.of_output += whole ? d * product(r, c) : d * d * (input ? input->square(c) : 1.0f);
        }
      }
    }
  });
  return errors;
}

}  // namespace bitkerf
