// Parameters of number formats that are chosen for a matrix: the exponent of pow4:a=auto (NUPES), the split of
// fp4:split=auto (LLM-FP4), the levels of cb4:v=auto (k-means). One row per parameter in fit_grid.cc.
#pragma once

#include "compress/quantizers/round_to_nearest.h"

namespace bitkerf {

// The format with its open parameter set to what makes the squared error of round_to_nearest under `rule` small.
NumberFormat fit_grid(Matrix<const float> weights, const NumberFormat& format, const ScaleRule& rule, Threads* threads);

// NUPES, section 3: golden section of a in [0.2, 1.2], to 0.001.
double best_exponent(Matrix<const float> weights, const NumberFormat& format, const ScaleRule& rule, Threads* threads);

}  // namespace bitkerf
