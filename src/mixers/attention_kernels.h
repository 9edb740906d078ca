// The parts of attention that touch numbers, compiled per instruction set. mixers/attention.cc decides who computes
// what; the kernels decide in which order a token's sums are formed, and that order is a function of positions only:
//
//   keys    0        64       128      192      256                     position
//           |  block |  block |  block |  block |  block | ...             |
//           |------------- span --------------- |--------- span --- ... ---|
//
// Within a span (256 keys, counted from position 0) blocks of 64 keys are folded in one after the other ("online
// softmax": running maximum m, sum l, weighted values o; Milakov and Gimelshein 2018). Spans start from nothing and are
// merged in order, so several workers may take the spans of one token without changing a bit. Keys that a token does
// not see add exact zeros, so it does not matter which other tokens share its tile.
#pragma once

#include <cstdint>

namespace bitkerf {

inline constexpr std::int64_t kBlockKeys = 64, kShortBlockKeys = 128, kSpanKeys = 256;

static constexpr std::int64_t round_up_16(std::int64_t n) { return (n + 15) / 16 * 16; }
static constexpr std::int64_t short_dims(std::int64_t head_dim) { return (head_dim + 1) / 2 * 2; }

// Where a layer's keys and values of one key-value head lie. Of half floats and floats, per block of 64 keys:
//   keys    4 groups of (head_dim, 16 keys): the scores of 16 keys are one vector, and no sum crosses lanes
//   values  (64 keys, value_cols)
// Of int16, per block of 128 keys: attention_int16.inl has the picture.
struct AttentionCache {
  void* blocks = nullptr;          // the head's part of block 0
  std::int64_t block_stride = 0;   // elements from there to its part of the next block
  std::int64_t head_dim = 0;
  std::int64_t value_dim = 0, value_cols = 0;  // value_cols: value_dim rounded up to 16, the rest zeros
};

// Rows of one product: the query heads of a group for consecutive tokens, token by token.
struct AttentionTile {
  AttentionCache cache;
  const float* q = nullptr;        // of the first token and head; heads lie side by side
  std::int64_t q_stride = 0;       // between tokens
  std::int64_t tokens = 0, heads = 0;
  std::int64_t position = 0;       // of the first token
  std::int64_t window = 0;         // 0: unlimited
  std::int64_t first_key = 0, last_key = 0;  // that are looked at; first_key is a multiple of a span
  float scale = 0, softcap = 0;
  float* scratch = nullptr;        // attention_scratch() floats
};

// What a tile has found: rows x (value_cols weighted values, 16 partial sums, maximum), in one array.
static constexpr std::int64_t partial_floats(std::int64_t rows, std::int64_t value_cols) {
  return round_up_16(rows * (value_cols + 17));
}
// Floats that attend() needs: queries, a second partial, a block of keys and values as floats, scores.
static constexpr std::int64_t attention_scratch(std::int64_t rows, std::int64_t head_dim, std::int64_t value_cols) {
  return round_up_16(rows * head_dim) + partial_floats(rows, value_cols) + kBlockKeys * (head_dim + value_cols) +
         16 * kBlockKeys;
}
// The same for int16: queries and their scales, a second partial, scores, weights, powers of a block.
static constexpr std::int64_t attention_short_scratch(std::int64_t rows, std::int64_t head_dim, std::int64_t value_cols) {
  return round_up_16(rows * round_up_16(head_dim) / 2) + round_up_16(rows) + partial_floats(rows, value_cols) +
         (6 + 3 + 1) * kShortBlockKeys;
}

// Elements of one head in one block: what a cache is made of.
struct AttentionCacheRow {
  std::int64_t element_bytes, block_keys;
  std::int64_t (*head_elements)(std::int64_t head_dim, std::int64_t value_cols) noexcept;
  std::int64_t (*scratch)(std::int64_t rows, std::int64_t head_dim, std::int64_t value_cols) noexcept;
};

struct AttentionKernels {
  // Writes tokens' keys and values (rows of k and v, of this head) at positions position, position + 1, ...
  void (*store)(const AttentionCache& cache, const float* k, std::int64_t k_stride, const float* v, std::int64_t v_stride,
                std::int64_t position, std::int64_t tokens) noexcept;
  void (*attend)(const AttentionTile& tile, float* partial) noexcept;
  // into = into and then from, of the same rows.
  void (*merge)(float* into, const float* from, std::int64_t rows, std::int64_t value_cols) noexcept;
  // y (tokens, heads * value_dim with stride) of a finished partial.
  void (*finish)(const float* partial, std::int64_t tokens, std::int64_t heads, std::int64_t value_dim, float* y,
                 std::int64_t y_stride) noexcept;
};

// One row per CacheType, in its order.
extern const AttentionKernels kAttentionPortable[], kAttentionAvx2[], kAttentionAvx512[];

}  // namespace bitkerf
