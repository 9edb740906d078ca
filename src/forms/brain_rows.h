// The memory of activations in bf16 (the encoding "bf16").
#pragma once

#include <cstdint>

#include "core/view.h"

namespace bitkerf {

struct BrainRows {
  std::uint32_t* pairs;  // (tokens, pairs_per_row): columns 2i (low half) and 2i + 1, zero behind the last
  i64 pairs_per_row;
};

}  // namespace bitkerf
