// The row of forms/list.cc for codes that tables decode; see codebook.h.
#pragma once

#include "forms/list.h"

namespace bitkerf {
bool codebook_holds(const NumberFormat& format);
// Integers where the levels are small integers (or nearly) and groups are rows, 16 or a multiple of 32; else floats.
bool codebook_takes(const NumberFormat& format, const Encoding& input);
std::unique_ptr<PackedLinear> pack_codebook(const Quantized& quantized, const Encoding& input, Threads& threads);
// Fault::file when the bytes are not what the format and shape need.
std::unique_ptr<PackedLinear> open_codebook(const PackedMatrix& matrix, int read_bits);
// How far the levels that kernels multiply may be from the grid's: 0 where they are small integers or floats of 24 bits.
float codebook_level_rounding(const NumberFormat& format);
// The exact inverse of pack_codebook.
Quantized unpack_codebook(const PackedLinear& packed);
}  // namespace bitkerf
