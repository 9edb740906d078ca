#include "formats/stored_blocks.h"

namespace bitkerf {

void decode_f32(const std::uint8_t* p, float* out) { *out = load<float>(p); }
void decode_f16(const std::uint8_t* p, float* out) { *out = load_f16(p); }
void decode_bf16(const std::uint8_t* p, float* out) { *out = bf16_to_f32(load<std::uint16_t>(p)); }
void decode_f64(const std::uint8_t* p, float* out) { *out = static_cast<float>(load<double>(p)); }
void decode_i8(const std::uint8_t* p, float* out) { *out = load<std::int8_t>(p); }
void decode_i16(const std::uint8_t* p, float* out) { *out = load<std::int16_t>(p); }
void decode_i32(const std::uint8_t* p, float* out) { *out = static_cast<float>(load<std::int32_t>(p)); }
void decode_i64(const std::uint8_t* p, float* out) { *out = static_cast<float>(load<std::int64_t>(p)); }

}  // namespace bitkerf
