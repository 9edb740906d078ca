// Half floats (IEEE binary16) and bfloat16 as bits, converted exactly as the CPU's own instructions do (vcvtph2ps,
// vcvtps2ph, vcvtneps2bf16 without its flush to zero): round to nearest even, NaN becomes quiet and keeps the top of
// its payload. Portable and usable in constant expressions; kernels that convert rows use the instructions.
#pragma once

#include <bit>
#include <cstdint>

namespace bitkerf {

// Without branches, so that a loop of it becomes vector code on any machine.
constexpr float f16_to_f32(std::uint16_t half) {
  std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
  std::uint32_t magnitude = half & 0x7fff;
  // Masks: zero and subnormals; infinity and NaN; NaN.
  std::uint32_t small = magnitude < 0x0400 ? ~0u : 0u, special = magnitude >= 0x7c00 ? ~0u : 0u;
  std::uint32_t nan = magnitude > 0x7c00 ? ~0u : 0u;
  // The exponent's bias goes from 15 to 127; infinity's 31 becomes 255; a subnormal gets the exponent of 2^-14 and an
  // implied 1, which is subtracted again (exactly). NaN becomes quiet.
  std::uint32_t bias = (127 - 15) + (special & (128 - 16)) + (small & 1);
  std::uint32_t bits = ((magnitude << 13) + (bias << 23)) | (nan & 0x00400000);
  float value = std::bit_cast<float>(bits) - std::bit_cast<float>(small & std::bit_cast<std::uint32_t>(0x1p-14f));
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
}

constexpr std::uint16_t f32_to_f16(float value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  std::uint32_t sign = bits >> 16 & 0x8000;
  std::uint32_t magnitude = bits & 0x7fffffff;
  std::uint32_t half = 0;
  if (magnitude > 0x7f800000) {  // NaN
    half = 0x7e00 | (magnitude >> 13 & 0x03ff);
  } else if (magnitude >= 0x477ff000) {  // from 65520 on the nearest half is infinity
    half = 0x7c00;
  } else if (magnitude < 0x38800000) {
    // Below 2^-14: adding 0.5, whose last bit is 2^-24, rounds to the subnormals' step.
    float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    half = std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0.5f);
  } else {
    half = (magnitude + 0x0fff + (magnitude >> 13 & 1)) >> 13;
    half -= (127 - 15) << 10;
  }
  return static_cast<std::uint16_t>(half | sign);
}

constexpr float bf16_to_f32(std::uint16_t half) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
}

constexpr std::uint16_t f32_to_bf16(float value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<std::uint16_t>(bits >> 16 | 0x0040);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace bitkerf
