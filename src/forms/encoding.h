// Activations as kernels read them, made once per input and shared by every product that reads it.
//
//   f32, bf16          as they are; rounded to bf16 (forms/brain_rows.h)
//   int8.g32 ...       KIND.GROUP: integers with a float32 scale per group of columns of a token (g32, g64, g128, g256)
//                      or per token (row)
//
// KIND:  int2 .. int8, int16   -(2^(b-1)-1) .. 2^(b-1)-1, scale max|x| / (2^(b-1)-1), round to nearest even
//                              (int16: 32639, so that code = 256 high + low with two signed bytes)
//        bipolar1 .. bipolar4  the odd numbers -(2^b-1) .. 2^b-1: no zero, no bit lost (APT-LLM, section 3); the scale is
//                              that of least squared error for normally distributed x (Max, 1960)
//
// TRANSFORM/ENCODING, as in hadamard/int8.row: of the transformed row (transforms/transform.h), which is made while it is in
// the cache. Kernels see the encoding alone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/cpu.h"
#include "core/view.h"
#include "transforms/transform.h"

namespace bitkerf {

struct Encoding {
  // How a kind of encoding does its work. Rows [first, last) of x go into memory that prepare() laid out.
  struct Kind {
    i64 (*bytes)(const Encoding&, i64 tokens, i64 cols);  // 0: kernels read the floats themselves
    void (*prepare)(const Encoding&, void* memory, i64 tokens, i64 cols) noexcept;
    void (*encode)(const Encoding&, Isa isa, Matrix<const float> x, i64 first, i64 last, void* memory) noexcept;
    double (*value)(const Encoding&, const void* memory, i64 token, i64 col);  // what kernels multiply, exactly
  };
  const Kind* kind;
  std::string name;
  int bits;      // of a code; 0: floats
  bool bipolar;
  i64 group;     // columns per scale, a multiple of 32 that divides kPassCols; kRowGroup: all
  i64 pad;       // columns are padded with zeros to a multiple of this
  const TransformRow* transform = nullptr;   // of a row before it is encoded
  const Encoding* of_transformed = nullptr;  // with a transform: the encoding without it
  const Encoding& plain() const { return of_transformed ? *of_transformed : *this; }
  // The transform with its parameters, where it has any (see with_parameters); it fits inputs of bound_cols columns.
  const Transform* bound = nullptr;
  i64 bound_cols = 0;
  // Whether inputs of so many columns can be encoded: a transform fits, and has its parameters if it needs them.
  bool fits(i64 cols) const;
  // Of inputs that it fits; nullptr: none.
  const Transform* transform_for(i64 cols) const;
  // Columns that kernels see of an input of so many.
  i64 outputs(i64 cols) const { return bound ? bound->outputs(cols) : cols; }

  bool has_tables() const { return bits > 0 && bits <= 8; }
  bool has_planes() const { return bits > 0 && bits <= 4; }
  i64 bytes(i64 tokens, i64 cols) const { return kind->bytes(*this, tokens, outputs(cols)); }
  // Lays out `memory` (64-byte aligned, bytes(tokens, cols) long); `memory` is then what kernels get as input.
  void prepare(void* memory, i64 tokens, i64 cols) const noexcept { kind->prepare(*this, memory, tokens, outputs(cols)); }
  void encode(Isa isa, Matrix<const float> x, i64 first, i64 last, void* memory) const noexcept;
};
inline constexpr i64 kRowGroup = 0;

// The table, without transforms. Pointers into it stay valid.
std::span<const Encoding> encodings();
const Encoding& encoding(std::string_view name);  // unknown names answer with the known ones (Fault::usage)
// A plain encoding of rows that are transformed (nullptr: not).
const Encoding& transformed(const Encoding& plain, const TransformRow* transform);
// A transformed encoding whose transform has these parameters, which it must take: kept for good, one for each content, so
// that matrices with the same share what is encoded.
const Encoding& with_parameters(const Encoding& transformed, i64 cols, std::span<const float> parameters);
const Encoding& float_input();
// int8 with the rule of llama.cpp's Q8_0 blocks.
const Encoding& int8_input();

// The head of an integer input's memory: where its parts lie. Arrays are (tokens, columns or groups), row-major.
struct IntRows {
  std::int8_t* q;            // (tokens, cols); of 16-bit codes the high part: code = 256 q + low
  std::int8_t* low;          // (tokens, cols) of 16-bit codes, or nullptr
  float* scale;              // (tokens, groups)
  std::int32_t* minus_before;// (tokens, units + 1): -sum of the codes before a unit of 32 columns, so that the sum over any
                             // span is a difference. A kernel starts its sum at offset times that, which makes the dot
                             // product of unsigned codes that of (code - offset)
  std::int32_t* minus_sum16; // (tokens, 2 units): -sum of 16 columns
  float* scaled_sum;         // (tokens, groups): scale * the sum of the group's codes
  std::uint32_t* planes;     // (tokens, bits, units) up to 4 bits, most significant first, or nullptr: bit i of a word
                             // is column 32 unit + i of the code (two's complement, or (code + 2^bits - 1) / 2)
  std::uint8_t* tables;      // (units, 256) of one token, for kernels that look sums up and fill it themselves; of 8 bits at most
  i64 cols, units;           // from one token's codes to the next (not all of them columns); units of 32 columns
  i64 groups, group_units;   // per token; of one group (all units when there is one per token)
  int bits;
  bool bipolar;
};
// What kernels multiply: x after its encoding, as exact values (rows, outputs(cols)). The reference of tests and checks.
void decode_input(const Encoding& encoding, Isa isa, Matrix<const float> x, Matrix<double> out);

// Token t of several encodings of one input: a transform that they share is made once.
void encode_token(std::span<const Encoding* const> encodings, std::span<void* const> memories, Isa isa, Matrix<const float> x, i64 t) noexcept;

// The encoders of each instruction set (encode_*.cc): rows [first, last). All give the same bits.
using EncodeInts = void (*)(Matrix<const float> x, i64 first, i64 last, const IntRows& out) noexcept;
void encode_ints_portable(Matrix<const float> x, i64 first, i64 last, const IntRows& out) noexcept;
void encode_ints_avx512(Matrix<const float> x, i64 first, i64 last, const IntRows& out) noexcept;
void encode_ints_avx2(Matrix<const float> x, i64 first, i64 last, const IntRows& out) noexcept;

}  // namespace bitkerf
