#include "compress/stored_export.h"

#include <cstring>

#include "core/check.h"
#include "core/float16.h"

namespace bitkerf {
namespace {

// One block: integer levels of its weights (of grids of integers), its scale and minimum.
struct Block {
  const int* level;
  float scale, minimum;
};
using Encode = void (*)(const Block& block, std::uint8_t* out);

void put_half(float value, std::uint8_t* out) {
  std::uint16_t bits = f32_to_f16(value);
  CHECK_EQ(f16_to_f32(bits), value);  // the scale type of the format is f16
  std::memcpy(out, &bits, 2);
}
// Weight i in the low nibble, i + 16 in the high one.
void put_nibbles(const Block& block, int offset, std::uint8_t* out) {
  for (int i = 0; i < 16; i++)
    out[i] = static_cast<std::uint8_t>(((block.level[i] + offset) & 15) | ((block.level[i + 16] + offset) & 15) << 4);
}
void put_fifth_bits(const Block& block, int offset, std::uint8_t* out) {
  std::uint32_t high = 0;
  for (int i = 0; i < 32; i++) high |= static_cast<std::uint32_t>((block.level[i] + offset) >> 4 & 1) << i;
  std::memcpy(out, &high, 4);
}

void encode_q4_0(const Block& b, std::uint8_t* out) { put_half(b.scale, out), put_nibbles(b, 8, out + 2); }
void encode_q4_1(const Block& b, std::uint8_t* out) { put_half(b.scale, out), put_half(b.minimum, out + 2), put_nibbles(b, 0, out + 4); }
void encode_q5_0(const Block& b, std::uint8_t* out) { put_half(b.scale, out), put_fifth_bits(b, 16, out + 2), put_nibbles(b, 16, out + 6); }
void encode_q5_1(const Block& b, std::uint8_t* out) {
  put_half(b.scale, out), put_half(b.minimum, out + 2), put_fifth_bits(b, 0, out + 4), put_nibbles(b, 0, out + 8);
}
void encode_q8_0(const Block& b, std::uint8_t* out) {
  put_half(b.scale, out);
  for (int i = 0; i < 32; i++) out[2 + i] = static_cast<std::uint8_t>(b.level[i]);
}

struct Row {
  StorableRow names;
  Encode encode;
};
constexpr Row kRows[] = {{{"int4.f16.g32", "Q4_0"}, encode_q4_0},
                         {{"uint4.f16.g32", "Q4_1"}, encode_q4_1},
                         {{"int5.f16.g32", "Q5_0"}, encode_q5_0},
                         {{"uint5.f16.g32", "Q5_1"}, encode_q5_1},
                         {{"int8.f16.g32", "Q8_0"}, encode_q8_0}};

const Row* row_of(const NumberFormat& format) {
  for (const Row& row : kRows)
    if (row.names.format == format.name) return &row;
  return nullptr;
}

}  // namespace

std::span<const StorableRow> storable_formats() {
  static const std::vector<StorableRow> names = [] {
    std::vector<StorableRow> list;
    for (const Row& row : kRows) list.push_back(row.names);
    return list;
  }();
  return names;
}

const StoredType* stored_type_of(const NumberFormat& format, i64 cols) {
  const Row* row = row_of(format);
  if (!row) return nullptr;
  const StoredType* type = stored_type(row->names.type);
  return cols % type->block == 0 ? type : nullptr;
}

std::vector<std::byte> stored_blocks(const Quantized& quantized, std::span<const i64> order) {
  const Shape shape = quantized.shape();
  const StoredType* type = stored_type_of(quantized.format, shape.cols);
  CHECK(type && quantized.tensor_scale == 1);
  const Row& row = *row_of(quantized.format);
  const i64 row_bytes = type->bytes(shape.cols);
  std::vector<std::byte> bytes(static_cast<std::size_t>(shape.rows * row_bytes));
  std::vector<int> level(static_cast<std::size_t>(type->block));
  for (i64 r = 0; r < shape.rows; r++) {
    i64 place = order.empty() ? r : order[static_cast<std::size_t>(r)];
    auto* out = reinterpret_cast<std::uint8_t*>(bytes.data() + place * row_bytes);
    for (i64 g = 0; g < shape.cols / type->block; g++, out += type->block_bytes) {
      for (i64 i = 0; i < type->block; i++) level[static_cast<std::size_t>(i)] = static_cast<int>(quantized.level(r, g * type->block + i));
      row.encode({level.data(), quantized.scales(r, g), quantized.format.has_minimum ? quantized.minima(r, g) : 0}, out);
    }
  }
  return bytes;
}

}  // namespace bitkerf
