// The int8 tile kernels that all forms of small integers share; int_tile.inl and int_tiles.inl.
#pragma once

#include <cstdint>

#include "core/view.h"

namespace bitkerf {

inline constexpr int kMaxTokens = 8;  // of a tile kernel, over all instruction sets

// For n tokens [token, token + n), y rows of 32 floats; adds to y unless first == 0.
using TileKernel = void (*)(const void* tile, i64 cols, i64 first, i64 count, const void* input, i64 tokens, i64 token,
                            float* y, i64 y_stride) noexcept;
struct TileSet {
  TileKernel tile[kMaxTokens + 1];
  int max_tokens;
};
struct TileKind {
  int part;        // 16 when scales change every 16 columns, or 32
  bool minimum;
  int level_bits;  // of codes: up to 7, or 8
  int sums;        // UnitSums::kind
};
const TileSet& int_tiles_portable(TileKind kind);
const TileSet& int_tiles_avx2(TileKind kind);
const TileSet& int_tiles_avx512(TileKind kind);

}  // namespace bitkerf
