// Super-blocks of 256 weights whose sub-blocks of 16 or 32 have integer scales (and minima) of a few bits.
#include "formats/stored_blocks.h"

namespace bitkerf {
namespace {

// Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minima in 12 bytes.
//   byte 0-3   bits 0-5: scale 0-3,   bits 6-7: high bits of scale 4-7
//   byte 4-7   bits 0-5: minimum 0-3, bits 6-7: high bits of minimum 4-7
//   byte 8-11  low nibble: low bits of scale 4-7, high nibble: low bits of minimum 4-7
struct ScaleMinimum { int scale, minimum; };
ScaleMinimum scale_and_minimum(const std::uint8_t* packed, int j) {
  if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
  return {(packed[j + 4] & 15) | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4};
}

}  // namespace

// 16 bytes: scale (low nibble) and minimum of each 16 weights; 64 bytes of codes; d, dmin.
// In each 32 bytes of codes: weights 0-31 in bits 0-1, 32-63 in bits 2-3, ...
void decode_q2_k(const std::uint8_t* p, float* out) {
  const std::uint8_t *scales = p, *q = p + 16;
  float d = load_f16(p + 80), dmin = load_f16(p + 82);
  for (int sub = 0; sub < 16; sub++) {
    float scale = d * static_cast<float>(scales[sub] & 15), minimum = dmin * static_cast<float>(scales[sub] >> 4);
    const std::uint8_t* codes = q + sub / 8 * 32 + sub % 2 * 16;
    int shift = sub / 2 % 4 * 2;
    for (int i = 0; i < 16; i++) *out++ = scale * static_cast<float>(codes[i] >> shift & 3) - minimum;
  }
}

// 32 bytes of third bits (bit n of byte i: weight 32 n + i; 1 adds nothing, 0 subtracts 4), 64 bytes of low bits as in
// Q2_K, sixteen 6-bit scales in 12 bytes (low nibbles of 0-7, high nibbles of 8-15 in bytes 0-7; high bits in 8-11), d.
void decode_q3_k(const std::uint8_t* p, float* out) {
  const std::uint8_t *high = p, *q = p + 32, *packed = p + 96;
  float d = load_f16(p + 108);
  for (int sub = 0; sub < 16; sub++) {
    int low4 = sub < 8 ? packed[sub] & 15 : packed[sub - 8] >> 4;
    int high2 = packed[8 + sub % 4] >> sub / 4 * 2 & 3;
    float scale = d * static_cast<float>((low4 | high2 << 4) - 32);
    const std::uint8_t* codes = q + sub / 8 * 32 + sub % 2 * 16;
    const std::uint8_t* third = high + sub % 2 * 16;
    int shift = sub / 2 % 4 * 2, bit = sub / 2;
    for (int i = 0; i < 16; i++) {
      int code = (codes[i] >> shift & 3) - ((third[i] >> bit & 1) ^ 1) * 4;
      *out++ = scale * static_cast<float>(code);
    }
  }
}

// d, dmin, 12 bytes of scales and minima, 128 bytes: in each 32, 32 weights in the low nibbles, the next in the high.
void decode_q4_k(const std::uint8_t* p, float* out) {
  float d = load_f16(p), dmin = load_f16(p + 2);
  const std::uint8_t *packed = p + 4, *q = p + 16;
  for (int sub = 0; sub < 8; sub++) {
    ScaleMinimum sm = scale_and_minimum(packed, sub);
    float scale = d * static_cast<float>(sm.scale), minimum = dmin * static_cast<float>(sm.minimum);
    const std::uint8_t* codes = q + sub / 2 * 32;
    int shift = sub % 2 * 4;
    for (int i = 0; i < 32; i++) *out++ = scale * static_cast<float>(codes[i] >> shift & 15) - minimum;
  }
}

// As Q4_K, with 32 bytes of fifth bits (bit n of byte i: weight 32 n + i) before the codes.
void decode_q5_k(const std::uint8_t* p, float* out) {
  float d = load_f16(p), dmin = load_f16(p + 2);
  const std::uint8_t *packed = p + 4, *high = p + 16, *q = p + 48;
  for (int sub = 0; sub < 8; sub++) {
    ScaleMinimum sm = scale_and_minimum(packed, sub);
    float scale = d * static_cast<float>(sm.scale), minimum = dmin * static_cast<float>(sm.minimum);
    const std::uint8_t* codes = q + sub / 2 * 32;
    int shift = sub % 2 * 4;
    for (int i = 0; i < 32; i++) {
      int code = (codes[i] >> shift & 15) | (high[i] >> sub & 1) << 4;
      *out++ = scale * static_cast<float>(code) - minimum;
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, d. In each half (128 weights): weights 0-63
// in the low nibbles of 64 bytes, 64-127 in the high ones; pairs in 32 bytes: weights 0-31 lowest, 32-63 next, ...
void decode_q6_k(const std::uint8_t* p, float* out) {
  const std::uint8_t *low = p, *high = p + 128, *scales = p + 192;
  float d = load_f16(p + 208);
  for (int sub = 0; sub < 16; sub++) {
    float scale = d * static_cast<float>(static_cast<std::int8_t>(scales[sub]));
    int half = sub / 8, within = sub % 8;  // 16 weights each
    const std::uint8_t* codes = low + half * 64 + within % 4 * 16;
    const std::uint8_t* pairs = high + half * 32 + within % 2 * 16;
    int shift = within / 4 * 4, pair_shift = within / 2 * 2;
    for (int i = 0; i < 16; i++) {
      int code = (codes[i] >> shift & 15) | (pairs[i] >> pair_shift & 3) << 4;
      *out++ = scale * static_cast<float>(code - 32);
    }
  }
}

// d as a float, 256 signed bytes, 16 sums of 16 (not needed here). Made for activations, but it may lie in a file.
void decode_q8_k(const std::uint8_t* p, float* out) {
  float d = load<float>(p);
  for (int i = 0; i < 256; i++) out[i] = d * static_cast<float>(static_cast<std::int8_t>(p[4 + i]));
}

// d, 16 bits: high pairs of the eight 6-bit scales, 4 bytes: their low nibbles, 16 bytes of indices per 32 weights.
void decode_iq4_xs(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  std::uint16_t high = load<std::uint16_t>(p + 2);
  const std::uint8_t *low = p + 4, *q = p + 8;
  for (int sub = 0; sub < 8; sub++) {
    int scale6 = (low[sub / 2] >> sub % 2 * 4 & 15) | (high >> sub * 2 & 3) << 4;
    float scale = d * static_cast<float>(scale6 - 32);
    const std::uint8_t* codes = q + sub * 16;
    for (int i = 0; i < 16; i++) {
      out[i] = scale * kValuesIq4[codes[i] & 15];
      out[i + 16] = scale * kValuesIq4[codes[i] >> 4];
    }
    out += 32;
  }
}

}  // namespace bitkerf
