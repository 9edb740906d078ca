#include "integer/execute/blocks.h"

#include <algorithm>

namespace bitkerf {
namespace {

using i8 = std::int8_t;
using i32 = std::int32_t;

constexpr i64 kTile = kIntegerRows * kBlock;  // codes of a block of a panel
constexpr int kMostInput = 20, kMostWeight = 12;

}  // namespace

static_assert(std::signed_integral<decltype(BlockRows::codes)::value_type> && std::signed_integral<decltype(BlockRows::exponents)::value_type>);

BlockMatrix::BlockMatrix(i64 rows, i64 cols, int bits)
    : rows(rows), cols(cols), bits(bits), codes(panels() * blocks() * kTile * bits / 8, false), exponents(panels() * blocks() * kIntegerRows) {
  for (i64 i = 0; i < codes.size(); i++) codes[i] = bits == 8 ? 128 : 0x88;
}

void BlockMatrix::set(i64 row, i64 col, int code) {
  const i64 tile = row / kIntegerRows * blocks() + col / kBlock;
  const i64 inside = (col % kBlock / kQuad * kIntegerRows + row % kIntegerRows) * kQuad + col % kQuad;
  if (bits == 8) {
    codes[tile * kTile + inside] = static_cast<std::uint8_t>(code + 128);
    return;
  }
  std::uint8_t& byte = codes[tile * (kTile / 2) + inside % (kTile / 2)];
  const int nibble = code + 8;
  byte = static_cast<std::uint8_t>(inside < kTile / 2 ? (byte & 0xf0) | nibble : (byte & 0x0f) | nibble << 4);
}

BlockTable::BlockTable(i64 rows, i64 cols, int bits)
    : rows(rows), cols(cols), bits(bits), codes(rows * cols * bits / 8, false), exponents(rows * (cols / kBlock)) {
  for (i64 i = 0; i < codes.size(); i++) codes[i] = bits == 8 ? 128 : 0x88;
}

void BlockTable::set(i64 row, i64 col, int code) {
  const i64 at = row * cols + col;
  if (bits == 8) {
    codes[at] = static_cast<std::uint8_t>(code + 128);
    return;
  }
  std::uint8_t& byte = codes[at / 2];
  const int nibble = code + 8;
  byte = static_cast<std::uint8_t>(at % 2 == 0 ? (byte & 0xf0) | nibble : (byte & 0x0f) | nibble << 4);
}

void BlockTable::add_row(i64 row, std::int64_t* sum) const noexcept {
  for (i64 c = 0; c < cols; c++) {
    const i64 at = row * cols + c;
    const int code = bits == 8 ? codes[at] - 128 : (at % 2 == 0 ? codes[at / 2] & 15 : codes[at / 2] >> 4) - 8;
    sum[c] += aligned(code, exponents[row * (cols / kBlock) + c / kBlock] + 24, i64{1} << 40);
  }
}

std::int64_t aligned(std::int64_t x, int shift, std::int64_t limit) noexcept {
  if (shift > 0) {
    if (x != 0 && bits_of(x) + shift > 62) return x < 0 ? -limit : limit;
    return std::clamp(static_cast<i64>(static_cast<std::uint64_t>(x) << shift), -limit, limit);
  }
  if (shift < 0) {
    const int right = std::min(-shift, 62);
    x = (x + (i64{1} << (right - 1))) >> right;
  }
  return std::clamp(x, -limit, limit);
}

int bits_of(std::int64_t x) noexcept {
  const auto size = static_cast<std::uint64_t>(x < 0 ? -x : x);
  return size == 0 ? 0 : 64 - __builtin_clzll(size);
}

void finish_row(const std::int64_t* sums, const std::int8_t* relative, int base, const BlockVector* bias, i64 n, WideRows& y, i64 r) noexcept {
  constexpr int kNothing = -1000;
  int top = kNothing;
  for (i64 c = 0; c < n; c++) {
    if (sums[c] != 0) top = std::max(top, bits_of(sums[c]) + base + (relative ? relative[c] : 0));
    if (bias && bias->codes[c] != 0) top = std::max(top, bits_of(bias->codes[c]) + bias->exponents[c / kBlock]);
  }
  const int exponent = top == kNothing ? 0 : top - 28;
  constexpr i64 kLimit = i64{1} << 28;
  i32* out = y.row(r);
  for (i64 c = 0; c < n; c++) {
    i64 value = aligned(sums[c], base + (relative ? relative[c] : 0) - exponent, kLimit);
    if (bias) value += aligned(bias->codes[c], bias->exponents[c / kBlock] - exponent, kLimit);
    out[c] = static_cast<i32>(value);
  }
  for (i64 c = n; c < y.cols; c++) out[c] = 0;
  y.exponent(r) = exponent;
}

void multiply_blocks(const BlockMatrix& w, const BlockVector& bias, const BlockRows& x, WideRows& y, const IntegerKernels& kernels, BlockScratch& s) {
  const i64 tokens = x.rows, padded = w.panels() * kIntegerRows;
  y.resize(tokens, round_up(w.rows, kBlock));
  s.sums.assign(static_cast<std::size_t>(tokens * padded), 0);
  s.dots.resize(static_cast<std::size_t>(tokens * kIntegerRows));
  s.token_base.resize(static_cast<std::size_t>(tokens));
  for (i64 t = 0; t < tokens; t++) {
    int least = 127, most = -128;
    for (i64 b = 0; b < x.blocks(); b++) least = std::min<int>(least, x.exponent_row(t)[b]), most = std::max<int>(most, x.exponent_row(t)[b]);
    s.token_base[static_cast<std::size_t>(t)] = std::max(least, most - kMostInput);
  }
  std::vector<i8> row_base(static_cast<std::size_t>(padded));
  std::uint8_t tile[kTile];
  for (i64 p = 0; p < w.panels(); p++) {
    i8* base = row_base.data() + p * kIntegerRows;
    for (i64 r = 0; r < kIntegerRows; r++) {
      int least = 127, most = -128;
      for (i64 b = 0; b < w.blocks(); b++) {
        const int exponent = w.exponents[(p * w.blocks() + b) * kIntegerRows + r];
        least = std::min(least, exponent), most = std::max(most, exponent);
      }
      base[r] = static_cast<i8>(std::max(least, most - kMostWeight));
    }
    for (i64 b = 0; b < w.blocks(); b++) {
      const i64 at = p * w.blocks() + b;
      const std::uint8_t* codes = w.codes.data() + at * kTile * w.bits / 8;
      if (w.bits == 4) {
        kernels.unpack(codes, kTile / 2, tile);
        codes = tile;
      }
      i8 relative[kIntegerRows];
      for (i64 r = 0; r < kIntegerRows; r++) relative[r] = static_cast<i8>(std::max(w.exponents[at * kIntegerRows + r] - base[r], -64));
      kernels.products(codes, x.codes.data() + b * kBlock, x.cols, tokens, kBlock / kQuad, s.dots.data(), kIntegerRows);
      for (i64 t = 0; t < tokens; t++)
        kernels.add_shifted(s.dots.data() + t * kIntegerRows, relative, x.exponent_row(t)[b] - s.token_base[static_cast<std::size_t>(t)],
                            kIntegerRows, s.sums.data() + t * padded + p * kIntegerRows);
    }
  }
  for (i64 t = 0; t < tokens; t++)
    finish_row(s.sums.data() + t * padded, row_base.data(), s.token_base[static_cast<std::size_t>(t)], &bias, w.rows, y, t);
}

}  // namespace bitkerf
