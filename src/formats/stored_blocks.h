// Blocks of each stored type to floats; only the table in stored.cc (and tests) call these. Every function reads
// the bytes in file order (little-endian) from any alignment, and computes in the order that fixes the last bit.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/float16.h"
#include "core/view.h"

namespace bitkerf {

static_assert(std::endian::native == std::endian::little, "stored blocks are read in place");

template <class T>
T load(const std::uint8_t* bytes) noexcept {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}
inline float load_f16(const std::uint8_t* bytes) noexcept { return f16_to_f32(load<std::uint16_t>(bytes)); }

using DecodeBlock = void (*)(const std::uint8_t* block, float* out);

// value, or -value where `minus` is 1. Signs are stored as bits; a branch on them would be wrong half of the time.
inline float with_sign(float value, unsigned minus) noexcept {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ minus << 31);
}

// Types of one number each (stored_plain.cc): a "block" is one weight, so these take a whole row.
void dequantize_f32(const std::byte* data, i64 count, float* out) noexcept;
void dequantize_f16(const std::byte* data, i64 count, float* out) noexcept;
void dequantize_bf16(const std::byte* data, i64 count, float* out) noexcept;
void dequantize_f64(const std::byte* data, i64 count, float* out) noexcept;
void dequantize_i8(const std::byte* data, i64 count, float* out) noexcept;
void dequantize_i16(const std::byte* data, i64 count, float* out) noexcept;
void dequantize_i32(const std::byte* data, i64 count, float* out) noexcept;
void dequantize_i64(const std::byte* data, i64 count, float* out) noexcept;

// Blocks with one scale, or one per 16 weights (stored_small.cc).
void decode_q1_0(const std::uint8_t*, float*);
void decode_q2_0(const std::uint8_t*, float*);
void decode_q4_0(const std::uint8_t*, float*);
void decode_q4_1(const std::uint8_t*, float*);
void decode_q5_0(const std::uint8_t*, float*);
void decode_q5_1(const std::uint8_t*, float*);
void decode_q8_0(const std::uint8_t*, float*);
void decode_iq4_nl(const std::uint8_t*, float*);
void decode_mxfp4(const std::uint8_t*, float*);
void decode_nvfp4(const std::uint8_t*, float*);
void decode_tq1_0(const std::uint8_t*, float*);
void decode_tq2_0(const std::uint8_t*, float*);

// Super-blocks of 256 weights with packed scales (stored_super.cc).
void decode_q2_k(const std::uint8_t*, float*);
void decode_q3_k(const std::uint8_t*, float*);
void decode_q4_k(const std::uint8_t*, float*);
void decode_q5_k(const std::uint8_t*, float*);
void decode_q6_k(const std::uint8_t*, float*);
void decode_q8_k(const std::uint8_t*, float*);
void decode_iq4_xs(const std::uint8_t*, float*);

// Super-blocks of 256 weights in codebooks (stored_iq.cc).
void decode_iq1_s(const std::uint8_t*, float*);
void decode_iq1_m(const std::uint8_t*, float*);
void decode_iq2_xxs(const std::uint8_t*, float*);
void decode_iq2_xs(const std::uint8_t*, float*);
void decode_iq2_s(const std::uint8_t*, float*);
void decode_iq3_xxs(const std::uint8_t*, float*);
void decode_iq3_s(const std::uint8_t*, float*);

// The sixteen levels of IQ4_NL and IQ4_XS.
inline constexpr std::int8_t kValuesIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};
// The E2M1 values, doubled: MXFP4 and NVFP4 halve their scales instead.
inline constexpr std::int8_t kValuesE2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace bitkerf
