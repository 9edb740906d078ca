#include "forms/as_stored/form.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "forms/as_stored/codec.h"
#include "forms/packed.h"

namespace bitkerf {

const PanelKernels* as_stored_kernels_portable();
const PanelKernels* as_stored_kernels_avx2();
const PanelKernels* as_stored_kernels_avx512();

namespace {

using u8 = std::uint8_t;

const StoredCodec* codec_of(std::string_view stored) {
  for (const StoredCodec& row : stored_codecs())
    if (row.stored == stored) return &row;
  return nullptr;
}

std::uint32_t load32(const u8* p) {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}
void or32(u8* p, std::uint32_t v) {
  v |= load32(p);
  std::memcpy(p, &v, 4);
}

// Puts the codes of 32 columns of one row (of 16) at their places; out: bits * 64 zeroed bytes. Steps of four codes
// move as one 32-bit word.
void place_codes(const u8* codes, int bits, int row, u8* out) {
  for (int s = 0; s < 8; s++) {
    std::uint32_t c = load32(codes + 4 * s);
    if (bits == 8) {
      std::memcpy(out + 64 * s + 4 * row, &c, 4);
      continue;
    }
    int low = bits >= 4 ? 4 : 2;
    std::uint32_t low_mask = low == 4 ? 0x0f0f0f0f : 0x03030303, high = c >> low & (low == 4 ? 0x03030303 : 0x01010101);
    if (low == 4) or32(out + 64 * (s % 4) + 4 * row, (c & low_mask) << (s < 4 ? 0 : 4));
    else or32(out + 64 * (s / 4) + 4 * row, (c & low_mask) << 2 * (s % 4));
    u8* rest = out + low * 64;
    if (bits - low == 2) or32(rest + 64 * (s / 4) + 4 * row, high << 2 * (s % 4));
    // Four bytes of 0 or 1 to four bits of the step's 64-bit mask.
    if (bits - low == 1) rest[8 * s + row / 2] |= static_cast<u8>(((high * 0x01020408u) >> 24 & 15) << 4 * (row % 2));
  }
}

class AsStored final : public PackedLinear {
 public:
  AsStored(const StoredMatrix& matrix, const StoredCodec& stored, Threads& threads)
      : PackedLinear(matrix.shape, kCodecs[stored.codec].panel_bytes(matrix.shape.cols), int8_input()),
        stored_(stored), codec_(kCodecs[stored.codec]), isa_(chosen_isa()) {
    threads.split(panels(), [&](i64 first, i64 last) {
      for (i64 p = first; p < last; p++) pack_panel(matrix, p);
    });
  }

  KernelList kernels(Isa isa) const override {
    static constexpr decltype(&as_stored_kernels_portable) kTables[] = {as_stored_kernels_portable, as_stored_kernels_avx2, as_stored_kernels_avx512};  // by Isa
    return kTables[static_cast<int>(isa)]()[stored_.codec];
  }
  std::string describe() const override { return fmt::format("as_stored {}", stored_.stored); }

  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    constexpr i64 kChunk = 256;
    alignas(64) u8 tile[64 + kChunk * kPanelRows + kChunk / 16 * kPanelRows * 2 * 4];
    for (i64 i = 0; i < out.rows; i++) {
      i64 row = (first + i) % kPanelRows;
      for (i64 col = 0; col < out.cols; col += kChunk) {
        i64 count = std::min(kChunk, out.cols - col);
        kernels(isa_).rows[0]->unpack(nullptr, panel((first + i) / kPanelRows), out.cols, col, count, tile);
        const auto* d = reinterpret_cast<const float*>(tile + 64 + count * kPanelRows);
        const float* m = d + count / codec_.group * kPanelRows;
        for (i64 c = 0; c < count; c++) {
          int level = tile[64 + c / 4 * 128 + row * 4 + c % 4] - codec_.offset;
          i64 at = c / codec_.group * kPanelRows + row;
          float product = d[at] * static_cast<float>(level);
          out(i, col + c) = codec_.has_minimum() ? product + m[at] : product;
        }
      }
    }
  }

 private:
  // Rows behind the last one of the matrix are zero: their scales make every product 0.
  void pack_panel(const StoredMatrix& matrix, i64 p) {
    i64 blocks = matrix.shape.cols / codec_.block, row_bytes = matrix.type->bytes(matrix.shape.cols);
    auto* out = reinterpret_cast<u8*>(writable_panel(p));
    std::memset(out, 0, static_cast<std::size_t>(codec_.panel_bytes(matrix.shape.cols)));
    i64 rows = std::min(kPanelRows, matrix.shape.rows - p * kPanelRows);
    for (i64 b = 0; b < blocks; b++) {
      for (i64 r = 0; r < rows; r++) {
        const auto* block = reinterpret_cast<const u8*>(matrix.data) + (p * kPanelRows + r) * row_bytes + b * matrix.type->block_bytes;
        u8* half = out + (2 * b + r / 16) * codec_.half_bytes();
        u8 codes[256];
        stored_.codes(block, codes);
        for (int g = 0; g < codec_.block / 32; g++)
          place_codes(codes + 32 * g, codec_.bits, static_cast<int>(r % 16), half + g * codec_.bits * 64);
        u8* scale = half + codec_.code_bytes();
        for (const StoredCodec::Field& field : stored_.fields)
          for (int i = 0; i < field.count; i++, scale += 16 * field.width)
            std::memcpy(scale + r % 16 * field.width, block + field.offset + i * field.width, static_cast<std::size_t>(field.width));
      }
    }
  }

  const StoredCodec& stored_;
  const Codec& codec_;
  Isa isa_;
};

}  // namespace

bool as_stored_holds(const StoredType& type) { return codec_of(type.name) != nullptr; }

std::unique_ptr<Linear> make_as_stored(const StoredMatrix& matrix, Threads& threads) {
  return std::make_unique<AsStored>(matrix, *codec_of(matrix.type->name), threads);
}

}  // namespace bitkerf
