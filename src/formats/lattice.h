// E8P (QuIP#, section 4): 65,536 points of the lattice E8, moved by 1/4, for 2 bits per weight. Bits of a code:
//
//   0..7    which of 256 patterns of absolute values, all odd multiples of 1/2: the 227 of squared norm <= 10, then 29
//           of squared norm 12
//   8..14   signs of weights 0..6 (1: minus). The sign of weight 7 follows, for the sum of a point must be even
//   15      all weights move by +1/4 (0) or by -1/4 (1)
//
// Times 4, every weight is an odd integer of at most 11: int8 dot products are exact.
#pragma once

#include <cstdint>

#include "formats/grid.h"

namespace bitkerf {

inline constexpr int kE8pPatterns = 256;
const SignedPatterns& e8p();

// As a grid of dimension 8; its nearest point is exact. Built once.
const Grid& e8p_grid();

}  // namespace bitkerf
