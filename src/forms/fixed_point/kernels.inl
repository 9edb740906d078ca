// Exact products of 16-bit codes; included after lanes_*.h. A row is summed in one go over all columns, because sums in
// floats between passes would round: of the passes that multiply.cc makes, only the last one works.
#include <algorithm>

#include "forms/fixed_point/words.h"
#include "forms/packed.h"

namespace bitkerf {
namespace {

template <int kTokens>
void words(const WordsView& v, const std::byte* panel, const WordRows& x, i64 token, float* y, i64 y_stride) {
  const i64 index = (panel - v.panels) / v.panel_bytes;
  const auto* codes = reinterpret_cast<const std::int16_t*>(panel);
  std::int32_t most = 1;
  for (int t = 0; t < kTokens; t++) most = std::max(most, x.most[token + t]);
  const i64 run = run_of_pairs(v.sums + index * WordsView::kRuns, most);
  const std::int16_t* q = x.q + token * x.cols;
  alignas(64) double total[kTokens][32] = {};
  for (i64 first = 0; first < v.pairs; first += run) {
    const i64 last = std::min(first + run, v.pairs);
    WordLanes::I sum[kTokens][2];
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; t++) sum[t][0] = sum[t][1] = WordLanes::zero();
    for (i64 p = first; p < last; p++) {
      WordLanes::I w0 = WordLanes::load(codes + 64 * p), w1 = WordLanes::load(codes + 64 * p + 32);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; t++) {
        WordLanes::I a = WordLanes::pair(q + t * x.cols + 2 * p);
        sum[t][0] = WordLanes::dot(sum[t][0], w0, a);
        sum[t][1] = WordLanes::dot(sum[t][1], w1, a);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; t++) {
      WordLanes::empty(sum[t][0], total[t]);
      WordLanes::empty(sum[t][1], total[t] + 16);
    }
  }
  for (int t = 0; t < kTokens; t++)
    for (int half = 0; half < 2; half++)
      WordLanes::finish(total[t] + 16 * half, v.scales + index * 32 + 16 * half, double{x.scale[token + t]}, y + t * y_stride + 16 * half);
}

void words_one(const void* self, const std::byte* panel, i64, const void* input, i64, i64 token, float* y) noexcept {
  words<1>(*static_cast<const WordsView*>(self), panel, *static_cast<const WordRows*>(input), token, y, 32);
}

// What a tile is told: the matrix and the panel, where it lies.
struct WordsTile {
  const WordsView* view;
  const std::byte* panel;
};
const void* words_unpack(const void* self, const std::byte* panel, i64, i64, i64, void* scratch) noexcept {
  auto* tile = static_cast<WordsTile*>(scratch);
  *tile = {static_cast<const WordsView*>(self), panel};
  return tile;
}
i64 words_tile_bytes(i64) { return sizeof(WordsTile); }

template <int kTokens>
void words_tile(const void* data, i64 cols, i64 first, i64 count, const void* input, i64, i64 token, float* y, i64 y_stride) noexcept {
  if (first + count < cols) return;
  const auto& tile = *static_cast<const WordsTile*>(data);
  words<kTokens>(*tile.view, tile.panel, *static_cast<const WordRows*>(input), token, y, y_stride);
}

constexpr PanelKernels make_words_kernels() {
  PanelKernels kernels{"words", words_one, words_unpack, words_tile_bytes, {}, WordLanes::kTokens};
  kernels.tile[1] = words_tile<1>;
  kernels.tile[2] = words_tile<2>;
  if constexpr (WordLanes::kTokens > 2) {
    kernels.tile[3] = words_tile<3>;
    kernels.tile[4] = words_tile<4>;
    kernels.tile[5] = words_tile<5>;
    kernels.tile[6] = words_tile<6>;
    kernels.tile[7] = words_tile<7>;
    kernels.tile[8] = words_tile<8>;
  }
  return kernels;
}

}  // namespace
}  // namespace bitkerf
