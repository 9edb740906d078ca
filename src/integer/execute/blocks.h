// The kinds of numbers between the operators of a model in blocks (BCT): all of them integers.
//   BlockRows     8-bit codes, blocks of 32 columns with a power of two each (MXINT8): what products and attention read
//   WideRows      32 bits, a power of two per row: what products and attention give
//   ResidualRows  16 bits, a power of two per row: what a layer passes around its blocks
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "core/buffer.h"
#include "integer/execute/kernels.h"

namespace bitkerf {

inline constexpr i64 kBlock = 32;

template <std::signed_integral Code>
struct EdgeRows {
  i64 rows = 0, cols = 0;           // cols as stored: of BlockRows a multiple of 32
  std::vector<Code> values;         // (rows, cols)
  std::vector<std::int32_t> exponents;  // (rows)
  void resize(i64 new_rows, i64 new_cols) {
    rows = new_rows, cols = new_cols;
    values.resize(static_cast<std::size_t>(rows * cols));
    exponents.resize(static_cast<std::size_t>(rows));
  }
  Code* row(i64 r) { return values.data() + r * cols; }
  const Code* row(i64 r) const { return values.data() + r * cols; }
  std::int32_t& exponent(i64 r) { return exponents[static_cast<std::size_t>(r)]; }
  std::int32_t exponent(i64 r) const { return exponents[static_cast<std::size_t>(r)]; }
};
using WideRows = EdgeRows<std::int32_t>;
using ResidualRows = EdgeRows<std::int16_t>;

struct BlockRows {
  i64 rows = 0, cols = 0;
  std::vector<std::int8_t> codes;      // (rows, cols)
  std::vector<std::int8_t> exponents;  // (rows, cols / 32)
  void resize(i64 new_rows, i64 new_cols) {
    rows = new_rows, cols = new_cols;
    codes.resize(static_cast<std::size_t>(rows * cols));
    exponents.resize(static_cast<std::size_t>(rows * blocks()));
  }
  i64 blocks() const { return cols / kBlock; }
  std::int8_t* row(i64 r) { return codes.data() + r * cols; }
  const std::int8_t* row(i64 r) const { return codes.data() + r * cols; }
  std::int8_t* exponent_row(i64 r) { return exponents.data() + r * blocks(); }
  const std::int8_t* exponent_row(i64 r) const { return exponents.data() + r * blocks(); }
};

// A vector of parameters, MXINT8; `size` of them count.
struct BlockVector {
  i64 size = 0;
  Buffer<std::int8_t> codes, exponents;
  i64 bytes() const { return size + ceil_div(size, kBlock); }
};

// Weights as MXINT8 or MXINT4 (codes -7 to 7), in panels of 32 rows:
//   codes      (panels, blocks, 1024 bytes as kernels.h has them, or 512 with nibbles code + 8 of bytes i and i + 512)
//   exponents  (panels, blocks, 32)
struct BlockMatrix {
  i64 rows = 0, cols = 0;
  int bits = 8;
  Buffer<std::uint8_t> codes;
  Buffer<std::int8_t> exponents;

  BlockMatrix() = default;
  BlockMatrix(i64 rows, i64 cols, int bits);  // all zeros
  i64 panels() const { return ceil_div(rows, kIntegerRows); }
  i64 blocks() const { return ceil_div(cols, kBlock); }
  void set(i64 row, i64 col, int code);
  std::int8_t& exponent(i64 row, i64 block) { return exponents[(row / kIntegerRows * blocks() + block) * kIntegerRows + row % kIntegerRows]; }
  i64 bytes() const { return codes.size() + exponents.size(); }
};

// Rows to look up: MXINT8, or MXINT4 with two codes + 8 in a byte, the even column low.
struct BlockTable {
  i64 rows = 0, cols = 0;  // cols a multiple of 32
  int bits = 8;
  Buffer<std::uint8_t> codes;  // (rows, cols * bits / 8); 8 bits: code + 128
  Buffer<std::int8_t> exponents;
  BlockTable() = default;
  BlockTable(i64 rows, i64 cols, int bits);
  void set(i64 row, i64 col, int code);
  i64 bytes() const { return codes.size() + exponents.size(); }
  // sum[c] += row's values as Q24
  void add_row(i64 row, std::int64_t* sum) const noexcept;
};

// Memory of one thread.
struct BlockScratch {
  std::vector<std::int64_t> sums;
  std::vector<std::int32_t> dots, token_base;
};

// y = x W^T + bias. x has the columns of W rounded up to 32. Blocks whose power of two is 2^20 (inputs) or 2^12 (weights) below
// the largest of their row lose bits; nothing else is rounded but y.
void multiply_blocks(const BlockMatrix& weights, const BlockVector& bias, const BlockRows& x, WideRows& y, const IntegerKernels& kernels,
                     BlockScratch& scratch);

// x 2^shift, rounded halves up, where that shifts out on the left clipped to +-limit (below 2^62).
std::int64_t aligned(std::int64_t x, int shift, std::int64_t limit) noexcept;
// The number of bits of |x|.
int bits_of(std::int64_t x) noexcept;

// Row r of y: sums[c] 2^(base + relative[c]) (relative may be null), plus the bias (may be null), with the power of two that leaves 29 bits.
void finish_row(const std::int64_t* sums, const std::int8_t* relative, int base, const BlockVector* bias, i64 n, WideRows& y, i64 r) noexcept;

}  // namespace bitkerf
