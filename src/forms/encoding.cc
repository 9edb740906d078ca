#include "forms/encoding.h"

#include <cstddef>
#include <new>

#include "core/buffer.h"

namespace bitkerf {
namespace {

constexpr EncodeInt8 kEncodeInt8[] = {encode_int8_portable, encode_int8_avx2, encode_int8_avx512};  // by Isa

i64 int8_bytes(i64 tokens, i64 cols) {
  cols = round_up<i64>(cols, 32);
  i64 groups = cols / 32;
  // head, q, then scale + minus_sum + scaled_sum per group and the last two again per half group
  return round_up<i64>(sizeof(Int8Rows), 64) + round_up<i64>(tokens * cols, 64) +
         3 * round_up<i64>(tokens * groups * 4, 64) + 2 * round_up<i64>(tokens * groups * 8, 64);
}

void prepare_int8(void* memory, i64 tokens, i64 cols) noexcept {
  cols = round_up<i64>(cols, 32);
  auto* p = static_cast<std::byte*>(memory);
  auto take = [&](i64 bytes) {
    std::byte* at = p;
    p += round_up<i64>(bytes, 64);
    return at;
  };
  i64 groups = cols / 32;
  auto* rows = new (take(sizeof(Int8Rows))) Int8Rows;
  rows->q = reinterpret_cast<std::int8_t*>(take(tokens * cols));
  rows->scale = reinterpret_cast<float*>(take(tokens * groups * 4));
  rows->minus_sum = reinterpret_cast<std::int32_t*>(take(tokens * groups * 4));
  rows->scaled_sum = reinterpret_cast<float*>(take(tokens * groups * 4));
  rows->minus_sum16 = reinterpret_cast<std::int32_t*>(take(tokens * groups * 8));
  rows->scaled_sum16 = reinterpret_cast<float*>(take(tokens * groups * 8));
  rows->cols = cols;
  rows->groups = groups;
}

void encode_int8(Isa isa, Matrix<const float> x, i64 first, i64 last, void* memory) noexcept {
  kEncodeInt8[static_cast<int>(isa)](x, first, last, *static_cast<const Int8Rows*>(memory));
}

}  // namespace

const Encoding kFloatInput = {"f32", 1, [](i64, i64) -> i64 { return 0; }, [](void*, i64, i64) noexcept {},
                              [](Isa, Matrix<const float>, i64, i64, void*) noexcept {}};
const Encoding kInt8Input = {"int8.g32", 32, int8_bytes, prepare_int8, encode_int8};

void decode_input(const Encoding& encoding, Isa isa, Matrix<const float> x, Matrix<double> out) {
  i64 bytes = encoding.bytes(x.rows, x.cols);
  Buffer<std::byte> memory(bytes);
  if (bytes > 0) {
    encoding.prepare(memory.data(), x.rows, x.cols);
    encoding.encode(isa, x, 0, x.rows, memory.data());
  }
  const auto* rows = reinterpret_cast<const Int8Rows*>(memory.data());
  for (i64 t = 0; t < x.rows; t++)
    for (i64 c = 0; c < x.cols; c++)
      out(t, c) = bytes == 0 ? x(t, c) : double{rows->scale[t * rows->groups + c / 32]} * rows->q[t * rows->cols + c];
}

}  // namespace bitkerf
