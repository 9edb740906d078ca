// How well number formats keep values: signal to quantization noise, and what it depends on, the crest factor of the
// blocks (INT v.s. FP: integers profit from small ones, floats hardly care).
#pragma once

#include "compress/quantizers/round_to_nearest.h"

namespace bitkerf {

// 10 log10(sum of w^2 / sum of squared errors); infinite where nothing is lost.
double signal_to_noise(Matrix<const float> weights, const Quantized& quantized);

struct CrestFactors {
  double mean = 0, median = 0, last_decile = 0;  // of max / root mean square per block; blocks of zeros do not count
  i64 histogram[16] = {};                        // by quarters from 1 on; the last one takes the rest
};
CrestFactors crest_factors(Matrix<const float> weights, i64 block);

// Independent values (rows, cols) from a counter, the same everywhere: normal, or Laplace of the same variance 1.
OwnedMatrix<float> normal_values(i64 rows, i64 cols, std::uint64_t seed);
OwnedMatrix<float> laplace_values(i64 rows, i64 cols, std::uint64_t seed);

}  // namespace bitkerf
