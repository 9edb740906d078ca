// Round to nearest: every weight takes the level next to it, with a scale that one of the rules below chooses for its
// group. Parameters of the format that are left open (a=auto) are chosen first, see fit_grid.h.
#pragma once

#include "core/threads.h"
#include "formats/number_format.h"

namespace bitkerf {

// How the scale of a group is chosen; the table is in round_to_nearest.cc. Lattices, whose scale follows from the
// group's root mean square, have a search of their own unless the rule is `largest`.
struct ScaleRule {
  int factors;       // tried, evenly spaced from low to high times the scale that `largest` gives; the best one in
  float low, high;   // squared error counts. 1: no search
  bool floor = false;  // E8M0 scales as the OCP text has them: 2^(floor(log2 max|w|) - floor(log2 largest level)),
                       // which clips; otherwise the power of two above max|w| / largest level
  bool own = false;    // where the group lies on a grid already (blocks of a file): that one's
};
namespace scale_rules {
inline constexpr ScaleRule largest{1, 1, 1};              // the largest weight on the last level
inline constexpr ScaleRule squared_error{40, 0.4f, 1.01f};
inline constexpr ScaleRule wide{100, 0.01f, 1.2f};        // LLM-FP4, section 3.1: its search of a real exponent bias
inline constexpr ScaleRule ocp{1, 1, 1, true};
inline constexpr ScaleRule own{40, 0.4f, 1.01f, false, true};
}  // namespace scale_rules

// weights (rows, cols), finite. threads may be null.
Quantized round_to_nearest(Matrix<const float> weights, const NumberFormat& format, const ScaleRule& rule,
                           Threads* threads = nullptr);

// Sum of squares of what rounding changes.
double squared_error(Matrix<const float> weights, const Quantized& quantized);

}  // namespace bitkerf
