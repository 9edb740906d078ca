// Real factors as dyadic numbers, and the tables of kernels.h.
#pragma once

#include <span>

#include "core/buffer.h"
#include "integer/execute/decoder.h"

namespace bitkerf {

// The nearest dyadic numbers: a multiplier of 31 bits for the largest factor, all with its shift. Finite, not negative, below 2^30.
Dyadic dyadic(double factor);
DyadicRow dyadic_row(std::span<const double> factors);

Buffer<std::int32_t> power_table();                               // 2^-x
Buffer<std::int32_t> gate_table(double (*function)(double x));
double logistic(double x);             // x of SiLU: x logistic(x)
double normal_distribution(double x);  // of GELU

}  // namespace bitkerf
