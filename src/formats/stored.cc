#include "formats/stored.h"

#include <algorithm>
#include <bit>
#include <cctype>

#include "formats/stored_blocks.h"

namespace bitkerf {
namespace {

template <DecodeBlock kDecode, int kBlock, int kBytes>
void decode_all(const std::byte* data, i64 blocks, float* out) noexcept {
  const std::uint8_t* bytes = reinterpret_cast<const std::uint8_t*>(data);
  for (i64 i = 0; i < blocks; i++) kDecode(bytes + i * kBytes, out + i * kBlock);
}

template <DecodeBlock kDecode, int kBlock, int kBytes>
constexpr StoredType row(std::string_view name, std::uint32_t id, int scale = -1, int scale2 = -1) {
  return {name, id, kBlock, kBytes, decode_all<kDecode, kBlock, kBytes>, {scale, scale2}};
}

// Ids 4, 5, 31-33 and 36-38 were types that files no longer have; Q8_1 (9) is for activations only, no program reads
// it from a file.
constexpr StoredType kStoredTypes[] = {
    {"F32", 0, 1, 4, dequantize_f32},
    {"F16", 1, 1, 2, dequantize_f16},
    row<decode_q4_0, 32, 18>("Q4_0", 2, 0),
    row<decode_q4_1, 32, 20>("Q4_1", 3, 0, 2),
    row<decode_q5_0, 32, 22>("Q5_0", 6, 0),
    row<decode_q5_1, 32, 24>("Q5_1", 7, 0, 2),
    row<decode_q8_0, 32, 34>("Q8_0", 8, 0),
    row<decode_q2_k, 256, 84>("Q2_K", 10, 80, 82),
    row<decode_q3_k, 256, 110>("Q3_K", 11, 108),
    row<decode_q4_k, 256, 144>("Q4_K", 12, 0, 2),
    row<decode_q5_k, 256, 176>("Q5_K", 13, 0, 2),
    row<decode_q6_k, 256, 210>("Q6_K", 14, 208),
    row<decode_q8_k, 256, 292>("Q8_K", 15),
    row<decode_iq2_xxs, 256, 66>("IQ2_XXS", 16, 0),
    row<decode_iq2_xs, 256, 74>("IQ2_XS", 17, 0),
    row<decode_iq3_xxs, 256, 98>("IQ3_XXS", 18, 0),
    row<decode_iq1_s, 256, 50>("IQ1_S", 19, 0),
    row<decode_iq4_nl, 32, 18>("IQ4_NL", 20, 0),
    row<decode_iq3_s, 256, 110>("IQ3_S", 21, 0),
    row<decode_iq2_s, 256, 82>("IQ2_S", 22, 0),
    row<decode_iq4_xs, 256, 136>("IQ4_XS", 23, 0),
    {"I8", 24, 1, 1, dequantize_i8},
    {"I16", 25, 1, 2, dequantize_i16},
    {"I32", 26, 1, 4, dequantize_i32},
    {"I64", 27, 1, 8, dequantize_i64},
    {"F64", 28, 1, 8, dequantize_f64},
    row<decode_iq1_m, 256, 56>("IQ1_M", 29),
    {"BF16", 30, 1, 2, dequantize_bf16},
    row<decode_tq1_0, 256, 54>("TQ1_0", 34, 52),
    row<decode_tq2_0, 256, 66>("TQ2_0", 35, 64),
    row<decode_mxfp4, 32, 17>("MXFP4", 39),
    row<decode_nvfp4, 64, 36>("NVFP4", 40),
    row<decode_q1_0, 128, 18>("Q1_0", 41, 0),
    row<decode_q2_0, 64, 18>("Q2_0", 42, 0),
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

bool finite_half(std::uint16_t bits) { return (bits & 0x7c00) != 0x7c00; }

}  // namespace

bool stored_is_finite(const StoredType& type, const std::byte* data, i64 blocks) noexcept {
  const std::uint8_t* bytes = reinterpret_cast<const std::uint8_t*>(data);
  if (type.scales[0] >= 0) {
    bool finite = true;
    for (int offset : type.scales) {
      if (offset < 0) continue;
      for (i64 i = 0; i < blocks; i++)
        finite &= finite_half(load<std::uint16_t>(bytes + i * type.block_bytes + offset));
    }
    return finite;
  }
  constexpr i64 kPiece = 4096;
  float weights[kPiece];
  i64 step = kPiece / type.block;
  for (i64 i = 0; i < blocks; i += step) {
    i64 n = std::min(step, blocks - i);
    type.dequantize(data + i * type.block_bytes, n, weights);
    bool finite = true;
    for (i64 j = 0; j < n * type.block; j++)
      finite &= (std::bit_cast<std::uint32_t>(weights[j]) & 0x7f800000) != 0x7f800000;
    if (!finite) return false;
  }
  return true;
}

std::span<const StoredType> stored_types() { return kStoredTypes; }

const StoredType* stored_type(std::uint32_t id) {
  for (const StoredType& type : kStoredTypes)
    if (type.id == id) return &type;
  return nullptr;
}

const StoredType* stored_type(std::string_view name) {
  for (const StoredType& type : kStoredTypes)
    if (equal_ignoring_case(type.name, name)) return &type;
  return nullptr;
}

}  // namespace bitkerf
