// Types of one number each, converted a row at a time.
#include "formats/stored_blocks.h"

namespace bitkerf {
namespace {

template <class T, class Convert>
void convert_all(const std::byte* data, i64 count, float* out, Convert convert) noexcept {
  for (i64 i = 0; i < count; i++) {
    T value;
    std::memcpy(&value, data + i * static_cast<i64>(sizeof(T)), sizeof(T));
    out[i] = convert(value);
  }
}

template <class T>
void cast_all(const std::byte* data, i64 count, float* out) noexcept {
  convert_all<T>(data, count, out, [](T value) { return static_cast<float>(value); });
}

}  // namespace

void dequantize_f32(const std::byte* p, i64 n, float* out) noexcept { cast_all<float>(p, n, out); }
void dequantize_f16(const std::byte* p, i64 n, float* out) noexcept {
  convert_all<std::uint16_t>(p, n, out, f16_to_f32);
}
void dequantize_bf16(const std::byte* p, i64 n, float* out) noexcept {
  convert_all<std::uint16_t>(p, n, out, bf16_to_f32);
}
void dequantize_f64(const std::byte* p, i64 n, float* out) noexcept { cast_all<double>(p, n, out); }
void dequantize_i8(const std::byte* p, i64 n, float* out) noexcept { cast_all<std::int8_t>(p, n, out); }
void dequantize_i16(const std::byte* p, i64 n, float* out) noexcept { cast_all<std::int16_t>(p, n, out); }
void dequantize_i32(const std::byte* p, i64 n, float* out) noexcept { cast_all<std::int32_t>(p, n, out); }
void dequantize_i64(const std::byte* p, i64 n, float* out) noexcept { cast_all<std::int64_t>(p, n, out); }

}  // namespace bitkerf
