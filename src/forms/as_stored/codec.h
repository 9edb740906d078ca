// How the blocks of a GGUF file lie in a packed panel, and which properties of theirs the kernels ask for.
//
// One half panel (16 weight rows, `block` columns), repeated [block][half]:
//
//   codes    block / 32 times `bits` x 64 bytes, for 32 columns each. Step s = 0..7 is columns 4s..4s+3; a step's
//            64 bytes are 16 rows x 4 columns, which is what one VPDPBUSD reads.
//              4 low bits:  4 x 64 B, low nibbles step s, high nibbles step s + 4
//              2 low bits:  2 x 64 B, bits 2f..2f+1 of 64 B number n: step 4n + f
//              2 high bits (6-bit codes): as 2 low bits;   1 high bit (3, 5): 8 masks of 64 bits, one per step
//              8 bits:      8 x 64 B, step after step
//   scales   the scale bytes of the 16 rows' blocks, transposed: [byte][16 rows] (halves: [half][16 rows]),
//            so they take exactly what they take in the file.
//
// Bytes are neither added nor lost, and nothing is rounded: a panel is the file's blocks in another order.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/view.h"

namespace bitkerf {

// How scale bytes become d (and m): value = d * (code - offset) + m. See scales<>() in kernels.inl.
enum class ScaleBytes {
  half,         // d f16
  half_min,     // d f16, m f16
  e8m0,         // d = 2^(byte - 128): half of the E8M0 value, as E2M1 levels are doubled
  q2_k,         // 16 x (scale nibble, minimum nibble), d f16, dmin f16
  q3_k,         // 12 bytes of 6-bit scales - 32, d f16
  q4_k,         // d f16, dmin f16, 12 bytes of 6-bit scales and minima
  q6_k,         // 16 x int8, d f16
  iq4_xs,       // d f16, 16 high bits, 4 bytes of low nibbles: 6-bit scales - 32
};

enum class Levels { none, iq4, e2m1 };  // code -> level through a table of 16

struct Codec {
  int bits;           // per code
  int block;          // columns per stored block
  int group;          // columns per scale: 16 or 32
  ScaleBytes scale_bytes;
  int offset;         // see ScaleBytes
  Levels levels = Levels::none;

  constexpr bool has_minimum() const {
    return scale_bytes == ScaleBytes::half_min || scale_bytes == ScaleBytes::q2_k || scale_bytes == ScaleBytes::q4_k;
  }
  // Bits of what the kernel multiplies.
  constexpr int level_bits() const { return levels == Levels::iq4 ? 8 : levels == Levels::e2m1 ? 5 : bits; }
  constexpr i64 scale_row_bytes() const {
    constexpr i64 kBytes[] = {2, 4, 1, 20, 14, 16, 18, 8};  // by ScaleBytes
    return kBytes[static_cast<int>(scale_bytes)];
  }
  constexpr i64 code_bytes() const { return i64{block} / 32 * bits * 64; }           // of a half panel's block
  constexpr i64 half_bytes() const { return code_bytes() + 16 * scale_row_bytes(); }
  constexpr i64 panel_bytes(i64 cols) const { return cols / block * 2 * half_bytes(); }
};

// The levels plus the offset, so that they are unsigned.
inline constexpr std::uint8_t kLevelsIq4[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
inline constexpr std::uint8_t kLevelsE2m1[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

inline constexpr Codec kCodecs[] = {
    {4, 32, 32, ScaleBytes::half, 8},                    // 0  Q4_0
    {4, 32, 32, ScaleBytes::half_min, 0},                // 1  Q4_1
    {5, 32, 32, ScaleBytes::half, 16},                   // 2  Q5_0
    {5, 32, 32, ScaleBytes::half_min, 0},                // 3  Q5_1
    {8, 32, 32, ScaleBytes::half, 128},                  // 4  Q8_0
    {2, 256, 16, ScaleBytes::q2_k, 0},                   // 5  Q2_K
    {3, 256, 16, ScaleBytes::q3_k, 4},                   // 6  Q3_K
    {4, 256, 32, ScaleBytes::q4_k, 0},                   // 7  Q4_K
    {5, 256, 32, ScaleBytes::q4_k, 0},                   // 8  Q5_K
    {6, 256, 16, ScaleBytes::q6_k, 32},                  // 9  Q6_K
    {4, 32, 32, ScaleBytes::half, 128, Levels::iq4},     // 10 IQ4_NL
    {4, 256, 32, ScaleBytes::iq4_xs, 128, Levels::iq4},  // 11 IQ4_XS
    {4, 32, 32, ScaleBytes::e8m0, 12, Levels::e2m1},     // 12 MXFP4
    {2, 256, 32, ScaleBytes::half, 1},                   // 13 TQ2_0
};
inline constexpr int kCodecCount = static_cast<int>(std::size(kCodecs));

// A stored type that has a codec, and how to take its blocks apart (blocks.cc).
struct StoredCodec {
  std::string_view stored;  // name in formats/stored.h
  int codec;                // index into kCodecs
  void (*codes)(const std::uint8_t* block, std::uint8_t* codes) noexcept;  // one code per byte, in column order
  // Where the scale bytes are, in the order that ScaleBytes lists them: count fields of width bytes from offset.
  struct Field { int offset, width, count; };
  Field fields[3];
};
std::span<const StoredCodec> stored_codecs();

}  // namespace bitkerf
