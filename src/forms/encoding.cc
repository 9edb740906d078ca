#include "forms/encoding.h"

#include <cstddef>

namespace bitkerf {
namespace {

constexpr EncodeInt8 kEncodeInt8[] = {encode_int8_portable, encode_int8_avx2, encode_int8_avx512};  // by Isa

i64 int8_bytes(i64 tokens, i64 cols) {
  i64 groups = cols / 32;
  // q, then scale + minus_sum + scaled_sum per group and the last two again per half group
  return round_up<i64>(tokens * cols, 64) + 3 * round_up<i64>(tokens * groups * 4, 64) +
         2 * round_up<i64>(tokens * groups * 8, 64) + 64;
}

void encode_int8(Isa isa, Matrix<const float> x, i64 first, i64 last, void* memory) noexcept {
  kEncodeInt8[static_cast<int>(isa)](x, first, last, int8_rows(memory, x.rows, x.cols));
}

}  // namespace

const Encoding kFloatInput = {"f32", [](i64, i64) -> i64 { return 0; },
                              [](Isa, Matrix<const float>, i64, i64, void*) noexcept {}};
const Encoding kInt8Input = {"int8.g32", int8_bytes, encode_int8};

Int8Rows int8_rows(void* memory, i64 tokens, i64 cols) {
  CHECK_EQ(cols % 32, 0);
  auto* p = static_cast<std::byte*>(memory);
  auto take = [&](i64 bytes) {
    std::byte* at = p;
    p += round_up<i64>(bytes, 64);
    return at;
  };
  i64 groups = cols / 32;
  Int8Rows rows;
  rows.q = reinterpret_cast<std::int8_t*>(take(tokens * cols));
  rows.scale = reinterpret_cast<float*>(take(tokens * groups * 4));
  rows.minus_sum = reinterpret_cast<std::int32_t*>(take(tokens * groups * 4));
  rows.scaled_sum = reinterpret_cast<float*>(take(tokens * groups * 4));
  rows.minus_sum16 = reinterpret_cast<std::int32_t*>(take(tokens * groups * 8));
  rows.scaled_sum16 = reinterpret_cast<float*>(take(tokens * groups * 8));
  rows.cols = cols;
  rows.groups = groups;
  return rows;
}

}  // namespace bitkerf
