// The row of forms/list.cc for planes of bits; see planes.h.
#pragma once

#include "forms/list.h"

namespace bitkerf {
bool bit_planes_hold(const NumberFormat& format);
// Integers of any width; by default int8 with the weights' groups, of 32 to 128 columns.
bool bit_planes_take(const Encoding& input);
std::unique_ptr<PackedLinear> pack_bit_planes(const Quantized& quantized, const Encoding& input, Threads& threads);
// Fault::file when the bytes are not what the format and shape need.
std::unique_ptr<PackedLinear> open_bit_planes(const PackedMatrix& matrix, int read_bits);
// The exact inverse of pack_bit_planes (all planes).
Quantized unpack_bit_planes(const PackedLinear& packed);
}  // namespace bitkerf
