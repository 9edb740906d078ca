// Super-blocks of 256 weights in codebooks: an index picks 8 (IQ1, IQ2) or 4 (IQ3) magnitudes at once, signs are
// stored apart. Four groups of 8 weights share a 32-weight sub-block.
#include "formats/stored_blocks.h"
#include "formats/stored_iq_grids.h"

namespace bitkerf {
namespace {

// 8 signs in 7 bits: the eighth makes the number of minus signs even.
unsigned signs_of_7_bits(unsigned bits) { return bits | static_cast<unsigned>(std::popcount(bits) & 1) << 7; }

void eight_of_iq2(std::uint16_t entry, unsigned signs, float scale, float* out) {
  for (int i = 0; i < 8; i++)
    out[i] = with_sign(scale * kMagnitudesIq2[entry >> 2 * i & 3], signs >> i & 1);

}

void eight_of_iq3(std::uint16_t first, std::uint16_t second, const std::int8_t* magnitudes, unsigned signs,
                  float scale, float* out) {
  std::uint32_t entry = first | static_cast<std::uint32_t>(second) << 16;
  for (int i = 0; i < 8; i++)
    out[i] = with_sign(scale * magnitudes[entry >> 4 * i & 7], signs >> i & 1);

}

void eight_of_iq1(std::uint16_t entry, float delta, float scale, float* out) {
  for (int i = 0; i < 8; i++) out[i] = scale * (kValuesIq1[entry >> 2 * i & 3] + delta);
}

constexpr float kDeltaIq1 = 0.125f;

}  // namespace

// d, per 32 weights: 4 indices of 8 bits, then 4 signs of 7 bits and a scale of 4 bits on top
void decode_iq2_xxs(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  for (int sub = 0; sub < 8; sub++) {
    const std::uint8_t* q = p + 2 + 8 * sub;
    std::uint32_t packed = load<std::uint32_t>(q + 4);
    float scale = d * (0.5f + static_cast<float>(packed >> 28)) * 0.25f;
    for (int i = 0; i < 4; i++, out += 8)
      eight_of_iq2(kGridIq2Xxs[q[i]], signs_of_7_bits(packed >> 7 * i & 127), scale, out);
  }
}

// d, 32 words of an index (9 bits) and signs (7 bits), 8 bytes: two 4-bit scales per 32 weights
void decode_iq2_xs(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  for (int group = 0; group < 32; group++, out += 8) {
    std::uint16_t q = load<std::uint16_t>(p + 2 + 2 * group);
    int scale4 = p[66 + group / 4] >> group / 2 % 2 * 4 & 15;
    float scale = d * (0.5f + static_cast<float>(scale4)) * 0.25f;
    eight_of_iq2(kGridIq2Xs[q & 511], signs_of_7_bits(q >> 9), scale, out);
  }
}

// d, 32 low bytes of indices, 32 bytes of signs, 8 bytes of 2 high index bits, 8 bytes of two 4-bit scales
void decode_iq2_s(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  const std::uint8_t *low = p + 2, *signs = p + 34, *high = p + 66, *scales = p + 74;
  for (int group = 0; group < 32; group++, out += 8) {
    int index = low[group] | (high[group / 4] >> group % 4 * 2 & 3) << 8;
    int scale4 = scales[group / 4] >> group / 2 % 2 * 4 & 15;
    float scale = d * (0.5f + static_cast<float>(scale4)) * 0.25f;
    eight_of_iq2(kGridIq2S[index], signs[group], scale, out);
  }
}

// d, 64 indices of 8 bits, per 32 weights: 4 signs of 7 bits and a scale of 4 bits on top
void decode_iq3_xxs(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  const std::uint8_t* q = p + 2;
  for (int sub = 0; sub < 8; sub++) {
    std::uint32_t packed = load<std::uint32_t>(p + 66 + 4 * sub);
    float scale = d * (0.5f + static_cast<float>(packed >> 28)) * 0.5f;
    for (int i = 0; i < 4; i++, out += 8, q += 2)
      eight_of_iq3(kGridIq3Xxs[q[0]], kGridIq3Xxs[q[1]], kMagnitudesIq3Xxs, signs_of_7_bits(packed >> 7 * i & 127),
                   scale, out);
  }
}

// d, 64 low bytes of indices, 8 bytes of ninth bits, 32 bytes of signs, 4 bytes: a 4-bit scale per 32 weights
void decode_iq3_s(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  const std::uint8_t *low = p + 2, *high = p + 66, *signs = p + 74, *scales = p + 106;
  for (int group = 0; group < 32; group++, out += 8) {
    int sub = group / 4;
    float scale = d * static_cast<float>(1 + 2 * (scales[sub / 2] >> sub % 2 * 4 & 15));
    int first = low[2 * group] | (high[sub] >> group % 4 * 2 & 1) << 8;
    int second = low[2 * group + 1] | (high[sub] >> (group % 4 * 2 + 1) & 1) << 8;
    eight_of_iq3(kGridIq3S[first], kGridIq3S[second], kMagnitudesIq3S, signs[group], scale, out);
  }
}

// d, 32 low bytes of indices, 8 words: 3 high index bits for each of 4 groups, a 3-bit scale, the sign of delta
void decode_iq1_s(const std::uint8_t* p, float* out) {
  float d = load_f16(p);
  for (int sub = 0; sub < 8; sub++) {
    std::uint16_t high = load<std::uint16_t>(p + 34 + 2 * sub);
    float scale = d * static_cast<float>(2 * (high >> 12 & 7) + 1);
    float delta = high & 0x8000 ? -kDeltaIq1 : kDeltaIq1;
    for (int i = 0; i < 4; i++, out += 8)
      eight_of_iq1(kGridIq1[p[2 + 4 * sub + i] | (high >> 3 * i & 7) << 8], delta, scale, out);
  }
}

// 32 low bytes of indices, 16 bytes: per group 3 high index bits and the sign of delta, 4 words: four 3-bit scales of
// 16 weights each, and in their top nibbles the four nibbles of d
void decode_iq1_m(const std::uint8_t* p, float* out) {
  std::uint16_t words[4];
  std::uint16_t d_bits = 0;
  for (int i = 0; i < 4; i++) {
    words[i] = load<std::uint16_t>(p + 48 + 2 * i);
    d_bits |= static_cast<std::uint16_t>(words[i] >> 12 << 4 * i);
  }
  float d = f16_to_f32(d_bits);
  for (int group = 0; group < 32; group++, out += 8) {
    float scale = d * static_cast<float>(2 * (words[group / 8] >> group / 2 % 4 * 3 & 7) + 1);
    int high = p[32 + group / 2] >> group % 2 * 4;
    eight_of_iq1(kGridIq1[p[group] | (high & 7) << 8], high & 8 ? -kDeltaIq1 : kDeltaIq1, scale, out);
  }
}

}  // namespace bitkerf
