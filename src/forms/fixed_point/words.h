// Dynamic fixed point: 16-bit codes with one power of two per row (Das et al., Mixed Precision Training of Convolutional
// Neural Networks using Integer Operations). Products are exact: int32 lanes add pairs of products
// (VPDPWSSD, VPMADDWD), and are emptied into doubles before they can overflow; a double holds sums of 2^22 products of
// 31 bits exactly. So every output is the exact integer sum, times its scales, rounded once.
//
// A panel of 32 rows: [pair of columns][32 rows x 2 codes of 16 bits], then a scale per row of the scale type.
//
// How many pairs a lane may add is known from the weights: of every row's sums of |code| over runs of 1, 2, 4, ... pairs
// the largest (WordsView::sums), times the largest |code| of the token, bounds what a lane can hold after such a run.
// For codes of p bits that is at least 2^(31 - 2p + 1) pairs, 1 at p = 16, 4 at p = 15; of real weights it is far more.
#pragma once

#include <cstdint>

#include "forms/encoding.h"

namespace bitkerf {

// The head of the encoded input.
struct WordRows {
  std::int16_t* q;     // (tokens, cols)
  float* scale;        // (tokens): 2^(ceil(log2 max|x|) - (bits - 1))
  std::int32_t* most;  // (tokens): largest |q|
  i64 cols;            // padded to pairs
};
extern const Encoding::Kind kWords;  // encodings of this kind have no IntRows
inline bool is_fixed_point(const Encoding& input) { return input.kind == &kWords; }

struct WordsView {
  static constexpr int kRuns = 12;  // of 1 to 2048 pairs
  i64 pairs, panel_bytes;
  const std::byte* panels;          // the first one
  const std::int64_t* sums;         // (panels, kRuns): largest sum of |code| of a row over an aligned run of 2^i pairs
  const double* scales;             // (panels, 32): with the tensor's
};

// Pairs that a lane may add before it is emptied: a power of two.
inline i64 run_of_pairs(const std::int64_t* sums, std::int64_t most) {
  i64 run = 1;
  for (int i = 1; i < WordsView::kRuns && sums[i] * most <= 0x7fffffff; i++) run = i64{1} << i;
  return run;
}

}  // namespace bitkerf
