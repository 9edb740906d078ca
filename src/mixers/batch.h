// Which tokens of which sequences one step computes. Prefill, decode, chunked prefill and draft verification are the
// same call with another Batch.
#pragma once

#include <span>

#include "core/view.h"

namespace bitkerf {

// Consecutive rows of the batch that belong to one sequence, in order.
struct Run {
  i64 first = 0;     // row in the batch
  i64 tokens = 0;    // >= 1
  i64 position = 0;  // of the first token in its sequence: what the sequence's state holds already
  bool prompt = false;  // text to be read, all of which but its end may be left out of later layers (models/prune.h)
};

struct Batch {
  std::span<const Run> runs;
  i64 tokens = 0;  // sum over runs
};

}  // namespace bitkerf
