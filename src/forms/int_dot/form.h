// The row of forms/list.cc for densely packed codes of any grid of at most 256 levels; see layout.h.
#pragma once

#include "forms/list.h"

namespace bitkerf {
bool int_dot_holds(const NumberFormat& format);
// Integers of any width; of at most 8 bits where a level needs two bytes.
bool int_dot_takes(const NumberFormat& format, const Encoding& input);
float int_dot_rounding(const NumberFormat& format);
std::unique_ptr<PackedLinear> pack_int_dot(const Quantized& quantized, const Encoding& input, Threads& threads);
// Fault::file when the bytes are not what the format and shape need.
std::unique_ptr<PackedLinear> open_int_dot(const PackedMatrix& matrix, int read_bits);
// The exact inverse of pack_int_dot.
Quantized unpack_int_dot(const PackedLinear& packed);
}  // namespace bitkerf
