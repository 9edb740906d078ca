// Which kernels of int_units.inl a matrix needs: what its scales and those of its activations have in common.
#pragma once

#include <numeric>

#include "forms/packed.h"

namespace bitkerf {

struct UnitSums {
  static constexpr int kKinds = 5;
  i64 span_units;  // units of 32 columns that are summed as integers: the longest run in which no scale changes
  int kind;        // float operations per span of one unit, of several; late of one, of several; late of 16-bit activations
  bool late() const { return kind >= 2; }

  // weight_group: columns per scale of the weights, 16 or a multiple of 32, kWholeRow for one per row.
  UnitSums(i64 weight_group, const Encoding& input) {
    // Groups of rows end where a pass over the columns does.
    i64 input_group = input.group == kRowGroup ? kPassCols : input.group;
    span_units = weight_group == 16 ? 1 : std::gcd(weight_group == 0 ? kPassCols : weight_group, input_group) / 32;
    kind = input.bits > 8 ? 4 : (input.group == 32 * span_units ? 0 : 2) + (span_units > 1);
  }
};

}  // namespace bitkerf
