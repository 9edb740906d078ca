#include "forms/codebook/form.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "formats/int8_levels.h"
#include "forms/codebook/codebook.h"
#include "forms/codebook/kernels.h"
#include "forms/unit_panel.h"

namespace bitkerf {
namespace {

using u8 = std::uint8_t;

constexpr int kRowOffset = 127;  // of each row's own levels, integers from -127 to 127

bool is_integer(const NumberFormat& format) {
  bool units = format.group == kWholeRow || format.group == 16 || format.group % 32 == 0;
  return units && !format.has_minimum && (format.row_tables || has_int8_levels(format.grid));
}

// By CodebookKind; -1: none.
int kind_of(const NumberFormat& format) {
  const Grid& grid = format.grid;
  int bits = std::max(2, grid.bits());
  if (grid.patterns()) return CodebookKind::kPatterns;
  if (grid.dimension() == 2) return bits >= 4 && bits <= 8 ? CodebookKind::kPairs + bits - 4 : -1;
  if (grid.dimension() > 2 || bits > 8) return -1;
  if (format.row_tables) return bits <= 4 ? CodebookKind::kRows + bits - 2 : -1;
  return CodebookKind::kTable + bits - 2;
}

int code_bits(const NumberFormat& format) { return std::max(2, format.grid.bits()); }
UnitPlaces places_of(const NumberFormat& format, i64 cols) {
  return {format, cols, 128 * code_bits(format) / format.grid.dimension(), format.row_tables ? kPanelRows * 16 : 0};
}

// A float without its last byte, rounded to nearest even.
float round_to_24_bits(float v) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(v);
  return std::bit_cast<float>((bits + 0x7f + (bits >> 8 & 1)) & ~0xffu);
}

class Codebook final : public UnitLinear {
 public:
  Codebook(const Quantized& q, const Encoding& input, Threads& threads)
      : UnitLinear(q, places_of(q.format, q.shape().cols), input), bits_(code_bits(q.format)) {
    pack_rows(q, threads, [&](i64 r, u8* panel) { store_codes(q, r, panel); });
    set_view();
  }
  explicit Codebook(const PackedMatrix& m) : UnitLinear(m, places_of(m.format, m.shape.cols)), bits_(code_bits(m.format)) { set_view(); }

  KernelList kernels(Isa isa) const override {
    static constexpr decltype(&codebook_kernels_portable) kIntegers[] = {codebook_kernels_portable, codebook_kernels_avx2, codebook_kernels_avx512};
    static constexpr decltype(&codebook_float_kernels_portable) kFloats[] = {codebook_float_kernels_portable, codebook_float_kernels_avx2,
                                                                             codebook_float_kernels_avx512};  // by Isa
    if (input().bits > 0) {
      const CodebookKernels& all = kIntegers[static_cast<int>(isa)]();
      if (view_.kind >= CodebookKind::kPairs && view_.kind <= CodebookKind::kPatterns && view_.group != 16)
        return all.streams[view_.kind - CodebookKind::kPairs][sums_][wide_];
      return all.rows[view_.group == 16][sums_][wide_];
    }
    return kFloats[static_cast<int>(isa)]()[!bytes_];
  }
  const void* kernel_data() const override { return &view_; }
  std::string describe() const override { return fmt::format("codebook {}", format_.label()); }

  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++)
      for (i64 c = 0; c < out.cols; c++) {
        i64 r = first + i, g = format_.group_of(c);
        out(i, c) = std::fma(level(r, c), scale_of(r, g) * view_.factor, minimum_of(r, g));
      }
  }

  Quantized unpack() const {
    Quantized q = unpack_scales();
    for (i64 r = 0; r < shape().rows; r++) {
      for (i64 c = 0; c < q.codes.cols(); c++) q.codes(r, c) = static_cast<std::uint16_t>(code(r, c));
      for (i64 level = 0; level < q.tables.cols(); level++) q.tables(r, level) = static_cast<float>(int{row_levels(r)[level]} - kRowOffset);
    }
    return q;
  }

 private:
  // Where plane 0 has the bit of a code, as byte in the panel and bit in the byte; the other planes follow every 64 B.
  struct Bit {
    i64 byte;
    int bit;
  };
  i64 unit_bytes() const { return 128 * bits_ / format_.grid.dimension(); }
  Bit bit_of(i64 row, i64 code) const {
    i64 r = row % kPanelRows;
    if (format_.grid.dimension() == 2) {
      i64 column = code % 16 + 16 * (r / 16);
      return {code / 16 * unit_bytes() + r % 16 * 4 + column / 8, static_cast<int>(column % 8)};
    }
    return {code / 32 * unit_bytes() + r / 16 * 64 * bits_ + r % 16 * 4 + code % 32 / 8, static_cast<int>(code % 8)};
  }
  // Where the pattern of a code of 8 weights is; the signs are 64 B behind it.
  i64 pattern_of(i64 row, i64 code) const {
    i64 r = row % kPanelRows;
    return code / 4 * unit_bytes() + r / 16 * 128 + code % 4 * 16 + r % 16;
  }

  int code(i64 r, i64 c) const {
    const u8* data = panel_of(r);
    if (format_.grid.patterns()) return data[pattern_of(r, c)] | data[pattern_of(r, c) + 64] << 8;
    Bit at = bit_of(r, c);
    int code = 0;
    for (i64 p = 0; p < bits_; p++) code = 2 * code + (data[at.byte + 64 * p] >> at.bit & 1);
    return std::min(code, format_.grid.levels() - 1);
  }
  const u8* row_levels(i64 r) const { return panel_of(r) + places_.tail_at + r % kPanelRows * 16; }
  // As the kernels have it: an integer, or a float of 24 bits.
  float level(i64 r, i64 c) const {
    int dimension = format_.grid.dimension(), k = code(r, c / dimension), i = static_cast<int>(c % dimension);
    if (format_.row_tables) return static_cast<float>(int{row_levels(r)[k]} - kRowOffset);
    if (format_.grid.patterns()) return 4 * format_.grid.value(k, i);
    if (bytes_) return static_cast<float>(int{view_.table[i][k]} - view_.offset);
    return round_to_24_bits(format_.grid.value(k));
  }

  void store_codes(const Quantized& q, i64 r, u8* out) const {
    for (i64 c = 0; c < q.codes.cols(); c++) {
      int code = q.codes(r, c);
      if (format_.grid.patterns()) {
        out[pattern_of(r, c)] = static_cast<u8>(code);
        out[pattern_of(r, c) + 64] = static_cast<u8>(code >> 8);
        continue;
      }
      Bit at = bit_of(r, c);
      for (i64 b = 0; b < bits_; b++)
        if (code >> (bits_ - 1 - b) & 1) out[at.byte + 64 * b] |= static_cast<u8>(1 << at.bit);
    }
    for (i64 level = 0; level < q.tables.cols(); level++)
      out[places_.tail_at + r % kPanelRows * 16 + level] = static_cast<u8>(static_cast<int>(q.tables(r, level)) + kRowOffset);
  }

  void set_view() {
    fill(view_, true);
    view_.levels_at = places_.tail_at;
    const Grid& grid = format_.grid;
    std::optional<Int8Levels> levels = format_.row_tables ? std::nullopt : int8_levels(grid);
    bytes_ = format_.row_tables || levels || grid.patterns();
    view_.kind = bytes_ ? kind_of(format_) : CodebookKind::kPlain + kind_of(format_);
    view_.factor = tensor_scale_ * (levels ? levels->step : 1);
    view_.offset = format_.row_tables ? kRowOffset : levels ? -levels->lowest : 0;
    wide_ = format_.row_tables || (levels && levels->highest - levels->lowest > 127);
    if (grid.patterns()) {
      for (int p = 0; p < 256; p++) {
        std::int8_t weights[8];
        for (int i = 0; i < 8; i++) weights[i] = static_cast<std::int8_t>(2 * grid.patterns()->twice[p][i]);
        std::memcpy(&view_.patterns[p], weights, 8);
        for (int i = 0; i < 8; i++) {
          const int nibble = (std::abs(weights[i]) - 2) / 4 | (weights[i] < 0 ? 4 : 0);
          view_.nibbles[i / 2][p] |= static_cast<u8>(nibble << 4 * (i % 2));
        }
      }
      for (int i = 0; i < 64; i++) {
        const int size = 2 + 4 * (i & 3);
        view_.moved[i] = static_cast<u8>(view_.offset + (i & 4 ? -size : size) + (i & 8 ? -1 : 1));
      }
      return;
    }
    // Codes that stand for nothing (a damaged file) repeat the last level.
    for (int k = 0; k < 256; k++) {
      int code = std::min(k, grid.levels() - 1);
      if (levels) {
        for (int i = 0; i < grid.dimension(); i++)
          view_.table[i][k] = static_cast<u8>(levels->values[static_cast<std::size_t>(code * grid.dimension() + i)] + view_.offset);
      } else if (!format_.row_tables) {
        std::uint32_t bits = std::bit_cast<std::uint32_t>(round_to_24_bits(grid.value(code)));
        for (int i = 0; i < 3; i++) view_.table[i][k] = static_cast<u8>(bits >> (24 - 8 * i));
      }
    }
  }

  const i64 bits_;
  bool bytes_ = false, wide_ = false;
  CodebookView view_{};
};

}  // namespace

bool codebook_holds(const NumberFormat& format) { return kind_of(format) >= 0; }

bool codebook_takes(const NumberFormat& format, const Encoding& input) {
  return is_integer(format) ? input.bits > 0 && input.bits <= 8 : &input == &float_input();
}

float codebook_level_rounding(const NumberFormat& format) {
  if (format.row_tables) return 0;
  if (std::optional<Int8Levels> levels = int8_levels(format.grid)) return levels->cost > 0 ? levels->step / 2 * 1.0001f : 0;
  float most = 0;
  for (int code = 0; code < format.grid.levels(); code++)
    most = std::max(most, std::fabs(round_to_24_bits(format.grid.value(code)) - format.grid.value(code)));
  return most;
}

std::unique_ptr<PackedLinear> pack_codebook(const Quantized& quantized, const Encoding& input, Threads& threads) {
  return std::make_unique<Codebook>(quantized, input, threads);
}

std::unique_ptr<PackedLinear> open_codebook(const PackedMatrix& m, int) {
  check_packed(m, "codebook", places_of(m.format, m.shape.cols).panel_bytes);
  auto matrix = std::make_unique<Codebook>(m);
  matrix->check_scales();
  return matrix;
}

Quantized unpack_codebook(const PackedLinear& packed) { return dynamic_cast<const Codebook&>(packed).unpack(); }

}  // namespace bitkerf
