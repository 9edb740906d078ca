// Activations as kernels read them, made once per input and shared by every product that reads it.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/cpu.h"
#include "core/view.h"

namespace bitkerf {

struct Encoding {
  std::string_view name;
  i64 pad;  // columns are padded with zeros to a multiple of this
  i64 (*bytes)(i64 tokens, i64 cols);  // of the encoded input; 0: kernels read the floats themselves
  // Lays out `memory` (64-byte aligned, bytes(tokens, cols) long); `memory` is then what kernels get as input.
  void (*prepare)(void* memory, i64 tokens, i64 cols) noexcept;
  // Encodes rows [first, last) of x into prepared memory.
  void (*encode)(Isa isa, Matrix<const float> x, i64 first, i64 last, void* memory) noexcept;
};

// Floats as they are: the pointer handed to kernels is a Matrix<const float>*.
extern const Encoding kFloatInput;
// int8 with one float scale per 32 columns: x ~ scale * q, q = round to nearest even of x * 127 / max|x|, the rule of
// llama.cpp's Q8_0 blocks.
extern const Encoding kInt8Input;

// The head of an int8 input's memory: where its parts lie. Arrays are (tokens, columns or groups), row-major.
struct Int8Rows {
  std::int8_t* q;            // (tokens, cols)
  float* scale;              // (tokens, cols / 32)
  std::int32_t* minus_sum;   // (tokens, cols / 32): -sum of q. A kernel starts its sum at offset * minus_sum, which
                             // makes the dot product of unsigned codes that of (code - offset)
  float* scaled_sum;         // (tokens, cols / 32): scale * sum of q, the factor of a group's minimum
  std::int32_t* minus_sum16; // the same per 16 columns
  float* scaled_sum16;
  i64 cols, groups;          // padded columns; groups of 32 per token
};
// What kernels multiply: x after its encoding, as exact values (rows, cols). The reference of tests and checks.
void decode_input(const Encoding& encoding, Isa isa, Matrix<const float> x, Matrix<double> out);

// The encoders of each instruction set (encode_*.cc): rows [first, last).
using EncodeInt8 = void (*)(Matrix<const float> x, i64 first, i64 last, const Int8Rows& out) noexcept;
void encode_int8_portable(Matrix<const float> x, i64 first, i64 last, const Int8Rows& out) noexcept;
void encode_int8_avx512(Matrix<const float> x, i64 first, i64 last, const Int8Rows& out) noexcept;
void encode_int8_avx2(Matrix<const float> x, i64 first, i64 last, const Int8Rows& out) noexcept;

}  // namespace bitkerf
