#include "formats/stored.h"

#include <algorithm>
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
constexpr StoredType row(std::string_view name, std::uint32_t id) {
  return {name, id, kBlock, kBytes, decode_all<kDecode, kBlock, kBytes>};
}

// Ids 4, 5, 31-33 and 36-38 were types that files no longer have; Q8_1 (9) is for activations only, no program reads
// it from a file.
constexpr StoredType kStoredTypes[] = {
    row<decode_f32, 1, 4>("F32", 0),
    row<decode_f16, 1, 2>("F16", 1),
    row<decode_q4_0, 32, 18>("Q4_0", 2),
    row<decode_q4_1, 32, 20>("Q4_1", 3),
    row<decode_q5_0, 32, 22>("Q5_0", 6),
    row<decode_q5_1, 32, 24>("Q5_1", 7),
    row<decode_q8_0, 32, 34>("Q8_0", 8),
    row<decode_q2_k, 256, 84>("Q2_K", 10),
    row<decode_q3_k, 256, 110>("Q3_K", 11),
    row<decode_q4_k, 256, 144>("Q4_K", 12),
    row<decode_q5_k, 256, 176>("Q5_K", 13),
    row<decode_q6_k, 256, 210>("Q6_K", 14),
    row<decode_q8_k, 256, 292>("Q8_K", 15),
    row<decode_iq2_xxs, 256, 66>("IQ2_XXS", 16),
    row<decode_iq2_xs, 256, 74>("IQ2_XS", 17),
    row<decode_iq3_xxs, 256, 98>("IQ3_XXS", 18),
    row<decode_iq1_s, 256, 50>("IQ1_S", 19),
    row<decode_iq4_nl, 32, 18>("IQ4_NL", 20),
    row<decode_iq3_s, 256, 110>("IQ3_S", 21),
    row<decode_iq2_s, 256, 82>("IQ2_S", 22),
    row<decode_iq4_xs, 256, 136>("IQ4_XS", 23),
    row<decode_i8, 1, 1>("I8", 24),
    row<decode_i16, 1, 2>("I16", 25),
    row<decode_i32, 1, 4>("I32", 26),
    row<decode_i64, 1, 8>("I64", 27),
    row<decode_f64, 1, 8>("F64", 28),
    row<decode_iq1_m, 256, 56>("IQ1_M", 29),
    row<decode_bf16, 1, 2>("BF16", 30),
    row<decode_tq1_0, 256, 54>("TQ1_0", 34),
    row<decode_tq2_0, 256, 66>("TQ2_0", 35),
    row<decode_mxfp4, 32, 17>("MXFP4", 39),
    row<decode_nvfp4, 64, 36>("NVFP4", 40),
    row<decode_q1_0, 128, 18>("Q1_0", 41),
    row<decode_q2_0, 64, 18>("Q2_0", 42),
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

}  // namespace

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
