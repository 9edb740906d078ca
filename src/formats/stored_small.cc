// Blocks with one scale (NVFP4: one per 16 weights). d is the scale, m the minimum, q the codes; codes of 4 bits and
// more put the first half of the block in the low nibbles and the second half in the high ones.
#include "formats/stored_blocks.h"

namespace bitkerf {
namespace {

// exponents of MXFP4 blocks (E8M0), halved as the values are doubled; 0 and 1 give subnormal floats
float half_of_e8m0(std::uint8_t e) {
  std::uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<std::uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

// scales of NVFP4 (E4M3; the sign bit is ignored), halved as the values are doubled; 0x7f (NaN) counts as 0
float half_of_e4m3(std::uint8_t x) {
  if (x == 0x7f) return 0.0f;
  int exponent = x >> 3 & 15, fraction = x & 7;
  if (exponent == 0) return static_cast<float>(fraction) * 0x1p-10f;
  // (8 + fraction) / 8 * 2^(exponent - 7) / 2: the bits of a float with three bits of fraction
  return std::bit_cast<float>(static_cast<std::uint32_t>(exponent - 8 + 127) << 23 |
                              static_cast<std::uint32_t>(fraction) << 20);
}

template <int kHalf>
void table_of_16(const std::uint8_t* q, const std::int8_t* values, float d, float* out) {
  for (int i = 0; i < kHalf; i++) {
    out[i] = d * values[q[i] & 15];
    out[i + kHalf] = d * values[q[i] >> 4];
  }
}

}  // namespace

// d, 128 bits: 1 is +d, 0 is -d
void decode_q1_0(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  for (int i = 0; i < 128; i++) out[i] = with_sign(d, ~(p[2 + i / 8] >> i % 8) & 1u);
}

// d, 64 codes of 2 bits: -1, 0, 1, 2
void decode_q2_0(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  for (int i = 0; i < 64; i++) out[i] = static_cast<float>((p[2 + i / 4] >> i % 4 * 2 & 3) - 1) * d;
}

// d, 16 bytes
void decode_q4_0(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  const std::uint8_t* q = p + 2;
  for (int i = 0; i < 16; i++) {
    out[i] = d * static_cast<float>((q[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((q[i] >> 4) - 8);
  }
}

// d, m, 16 bytes
void decode_q4_1(const std::uint8_t* p, float* out) {
  float d = load_f16(p), m = load_f16(p + 2);
  const std::uint8_t* q = p + 4;
  for (int i = 0; i < 16; i++) {
    out[i] = d * static_cast<float>(q[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(q[i] >> 4) + m;
  }
}

// d, 32 fifth bits, 16 bytes
void decode_q5_0(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  std::uint32_t high = load<std::uint32_t>(p + 2);
  const std::uint8_t* q = p + 6;
  for (int i = 0; i < 16; i++) {
    out[i] = d * static_cast<float>(static_cast<int>((q[i] & 15) | (high >> i & 1) << 4) - 16);
    out[i + 16] = d * static_cast<float>(static_cast<int>(q[i] >> 4 | (high >> (i + 16) & 1) << 4) - 16);
  }
}

// d, m, 32 fifth bits, 16 bytes
void decode_q5_1(const std::uint8_t* p, float* out) {
  float d = load_f16(p), m = load_f16(p + 2);
  std::uint32_t high = load<std::uint32_t>(p + 4);
  const std::uint8_t* q = p + 8;
  for (int i = 0; i < 16; i++) {
    out[i] = d * static_cast<float>(static_cast<int>((q[i] & 15) | (high >> i & 1) << 4)) + m;
    out[i + 16] = d * static_cast<float>(static_cast<int>(q[i] >> 4 | (high >> (i + 16) & 1) << 4)) + m;
  }
}

// d, 32 signed bytes
void decode_q8_0(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  for (int i = 0; i < 32; i++) out[i] = static_cast<float>(static_cast<std::int8_t>(p[2 + i])) * d;
}

// d, 16 bytes of indices
void decode_iq4_nl(const std::uint8_t* p, float* out) { table_of_16<16>(p + 2, kValuesIq4, load_f16(p), out); }

// exponent, 16 bytes of indices
void decode_mxfp4(const std::uint8_t* p, float* out) { table_of_16<16>(p + 1, kValuesE2m1, half_of_e8m0(p[0]), out); }

// 4 scales, then 8 bytes of indices for each
void decode_nvfp4(const std::uint8_t* p, float* out) {
  for (int s = 0; s < 4; s++) table_of_16<8>(p + 4 + 8 * s, kValuesE2m1, half_of_e4m3(p[s]), out + 16 * s);
}

// 48 bytes of 5 ternary digits and 4 bytes of 4, d. A byte is ceil(256/243 * number): multiplied by 3^k (mod 256),
// its digit k is the carry of a further times 3.
void decode_tq1_0(const std::uint8_t* p, float* out) {
  static constexpr std::uint8_t kPowers[5] = {1, 3, 9, 27, 81};
  static constexpr struct { int first, bytes, digits; } kParts[] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
  float d = load_f16(p + 52);
  for (const auto& part : kParts)
    for (int k = 0; k < part.digits; k++)
      for (int i = 0; i < part.bytes; i++) {
        std::uint8_t rest = static_cast<std::uint8_t>(p[part.first + i] * kPowers[k]);
        *out++ = d * static_cast<float>((rest * 3 >> 8) - 1);
      }
}

// 64 bytes of 4 codes, d. The first 32 bytes hold weights 0-31 in their lowest bits, 32-63 in the next, ...
void decode_tq2_0(const std::uint8_t* p, float* out) {
  float d = load_f16(p + 64);
  for (int part = 0; part < 64; part += 32)
    for (int shift = 0; shift < 8; shift += 2)
      for (int i = 0; i < 32; i++) *out++ = d * static_cast<float>((p[part + i] >> shift & 3) - 1);
}

}  // namespace bitkerf
