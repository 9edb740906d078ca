// The row of forms/list.cc for dynamic fixed point; see words.h.
#pragma once

#include "forms/list.h"

namespace bitkerf {
// Consecutive integers of at most 16 bits around 0, a scale per row (or block of rows) and no minimum.
bool fixed_point_holds(const NumberFormat& format);
bool fixed_point_takes(const NumberFormat& format, const Encoding& input);
std::unique_ptr<PackedLinear> pack_fixed_point(const Quantized& quantized, const Encoding& input, Threads& threads);
// Fault::file when the bytes are not what the format and shape need.
std::unique_ptr<PackedLinear> open_fixed_point(const PackedMatrix& matrix, int read_bits);
// The exact inverse of pack_fixed_point.
Quantized unpack_fixed_point(const PackedLinear& packed);
}  // namespace bitkerf
