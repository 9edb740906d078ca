// Round to nearest: every weight takes the level next to it, with the scale that its group's largest weight asks for,
// or the one of least squared error.
#pragma once

#include "formats/number_format.h"

namespace bitkerf {

enum class ScaleSearch {
  largest,        // absolute maximum (or range, with a minimum) on the last level
  squared_error,  // best of 40 factors from 0.4 to 1.01 of that
};

// weights (rows, cols), finite.
Quantized round_to_nearest(Matrix<const float> weights, const NumberFormat& format, ScaleSearch search);

}  // namespace bitkerf
