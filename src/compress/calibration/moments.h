// Sums of x x^T, the second moments that rounding wants of inputs.
#pragma once

#include "core/threads.h"
#include "core/view.h"

namespace bitkerf {

// Adds x^T x (x: tokens, cols) to the upper triangle of `sum` (cols, cols): whole tiles are tasks, so the bits do not depend
// on the number of threads.
void add_moment(Matrix<const float> x, Matrix<float> sum, Threads& threads) noexcept;
// The upper triangle divided by `total`, and mirrored into the lower one.
void finish_moment(Matrix<float> sum, double total, Threads& threads) noexcept;

}  // namespace bitkerf
