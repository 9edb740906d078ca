// The block types of GGUF files ("ggml types"): how many weights a block holds, how many bytes it takes, and what
// its bytes mean. One row per type in stored.cc; everything that lists, reads or checks types loops over the table.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/view.h"

namespace bitkerf {

struct StoredType {
  std::string_view name;  // as llama.cpp prints it: "Q4_K"
  std::uint32_t id;       // number in the file (ggml_type)
  int block;              // weights per block
  int block_bytes;        // bytes per block
  // Decode `blocks` consecutive blocks to floats, bit for bit as the `gguf` package's quants.py (or llama.cpp) does.
  void (*dequantize)(const std::byte* data, i64 blocks, float* out) noexcept;
  // Byte offsets of the half floats in a block that scale its weights; -1: none. Where the first is -1, any bytes may
  // hold what is not finite.
  int scales[2] = {-1, -1};

  double bits_per_weight() const { return 8.0 * block_bytes / block; }
  i64 bytes(i64 weights) const { return weights / block * block_bytes; }  // weights: a multiple of `block`
};

// Whether every weight is finite: looks at the scales alone where the type lists them.
bool stored_is_finite(const StoredType& type, const std::byte* data, i64 blocks) noexcept;

std::span<const StoredType> stored_types();
const StoredType* stored_type(std::uint32_t id);            // nullptr when unknown
const StoredType* stored_type(std::string_view name);       // nullptr when unknown; case is ignored

}  // namespace bitkerf
