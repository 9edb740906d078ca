// Token pruning in prefill (Agile-Quant): after some layers, the tokens of a prompt that received the least attention there are
// computed no further. What the layers up to there remember of them stays; later layers never see them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/view.h"

namespace bitkerf {

struct PruneStep {
  double keep = 1;  // of the tokens that are still there
  i64 layer = 0;    // whose attention decides; from 0
};
// "keep=0.8@4", or several with commas between, layers ascending. Those that keep all are left out. Fault::usage.
std::vector<PruneStep> parse_prune_steps(std::string_view text);

// Runs of fewer tokens keep all.
inline constexpr i64 kLeastPruned = 64;
// A run's last tokens always stay, and its first ones where they are a sequence's first: all attend to them.
inline constexpr i64 kLastKept = 16, kFirstKept = 4;

// The tokens that stay, ascending, into kept (tokens i64s of room): round(keep * tokens) of them, those that must and those that
// received the most. begins: the run begins a sequence. Returns how many.
i64 choose_kept(const float* received, i64 tokens, double keep, bool begins, i64* kept) noexcept;

}  // namespace bitkerf
