// A grid's levels as small integers, so that products are sums of int8 products: exactly, or rounded where that costs
// less than a hundredth of what the grid's own rounding does and keeps all levels apart.
#pragma once

#include <optional>
#include <vector>

#include "formats/grid.h"

namespace bitkerf {

struct Int8Levels {
  float step;                       // level ~ step * integer
  std::vector<std::int8_t> values;  // (levels, dimension); of affine grids too
  double cost;                      // what rounding adds to the mean squared error on normal weights; 0: exact
  int lowest, highest;              // of values
};
inline constexpr double kMostInt8Cost = 0.01;

// Nothing where the cost is larger than kMostInt8Cost, or where the grid has more than 256 levels of a weight.
std::optional<Int8Levels> int8_levels(const Grid& grid);
bool has_int8_levels(const Grid& grid);

}  // namespace bitkerf
