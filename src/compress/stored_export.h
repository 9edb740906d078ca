// What quantizers made, as blocks of a GGUF type that other programs read: formats whose values are exactly those of a type.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "formats/number_format.h"
#include "formats/stored.h"

namespace bitkerf {

struct StorableRow {
  std::string_view format;  // canonical name of a number format
  std::string_view type;    // of GGUF
};
std::span<const StorableRow> storable_formats();
// nullptr when no type has the format's values, or rows of that many weights are no whole blocks.
const StoredType* stored_type_of(const NumberFormat& format, i64 cols);

// Rows of blocks; order[i] (empty: i) is the row of the file that row i of `quantized` becomes. The blocks decode to
// quantized.weight(), bit for bit but for the sign of zeros.
std::vector<std::byte> stored_blocks(const Quantized& quantized, std::span<const i64> order);

}  // namespace bitkerf
