#include "forms/codebook/form.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "core/error.h"
#include "formats/int8_levels.h"
#include "forms/codebook/codebook.h"
#include "forms/codebook/kernels.h"
#include "forms/unit_sums.h"

namespace bitkerf {
namespace {

using u8 = std::uint8_t;

constexpr int kRowOffset = 127;  // of each row's own levels, integers from -127 to 127

bool is_integer(const NumberFormat& format) {
  bool units = format.group == kWholeRow || format.group == 16 || format.group % 32 == 0;
  return units && !format.has_minimum && (format.row_tables || int8_levels(format.grid));
}

// By CodebookKind; -1: none.
int kind_of(const NumberFormat& format) {
  const Grid& grid = format.grid;
  int bits = std::max(2, grid.bits());
  if (grid.patterns()) return CodebookKind::kPatterns;
  if (grid.dimension() == 2) return bits == 4 || bits == 6 || bits == 8 ? CodebookKind::kPairs + bits / 2 - 2 : -1;
  if (grid.dimension() > 2 || bits > 8) return -1;
  if (format.row_tables) return bits <= 4 ? CodebookKind::kRows + bits - 2 : -1;
  return CodebookKind::kTable + bits - 2;
}

// Where things are in a panel.
struct Places {
  i64 bits, units, unit_bytes, groups, stored_groups, scales_at, minima_at, levels_at, panel_bytes;
  Places(const NumberFormat& format, i64 cols)
      : bits(std::max(2, format.grid.bits())), units(ceil_div<i64>(cols, 32)), unit_bytes(128 * bits / format.grid.dimension()),
        groups(format.groups(cols)),
        // Kernels go by units of 32 columns, so of groups of 16 there is an even number (the last one zero).
        stored_groups(format.group == 16 ? 2 * units : groups), scales_at(units * unit_bytes),
        minima_at(round_up<i64>(scales_at + stored_groups * kPanelRows * format.scale->bytes, 64)),
        levels_at(round_up<i64>(minima_at + (format.has_minimum ? stored_groups * kPanelRows * minimum_type(format).bytes : 0), 64)),
        panel_bytes(levels_at + (format.row_tables ? kPanelRows * 16 : 0)) {}
};

// A float without its last byte, rounded to nearest even.
float round_to_24_bits(float v) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(v);
  return std::bit_cast<float>((bits + 0x7f + (bits >> 8 & 1)) & ~0xffu);
}

class Codebook final : public PackedLinear {
 public:
  Codebook(const Quantized& q, const Encoding& input, Threads& threads)
      : PackedLinear(q.shape(), Places(q.format, q.shape().cols).panel_bytes, input), format_(q.format), places_(q.format, q.shape().cols),
        tensor_scale_(q.tensor_scale) {
    threads.split(panels(), [&](i64 first, i64 last) {
      for (i64 p = first; p < last; p++) pack_panel(q, p);
    });
    set_view();
  }
  explicit Codebook(const PackedMatrix& m)
      : PackedLinear(m.shape, Places(m.format, m.shape.cols).panel_bytes, *m.input, m.bytes.data()), format_(m.format),
        places_(m.format, m.shape.cols), tensor_scale_(m.tensor_scale) {
    set_view();
  }

  KernelList kernels(Isa isa) const override {
    static constexpr decltype(&codebook_kernels_portable) kIntegers[] = {codebook_kernels_portable, codebook_kernels_avx2, codebook_kernels_avx512};
    static constexpr decltype(&codebook_float_kernels_portable) kFloats[] = {codebook_float_kernels_portable, codebook_float_kernels_avx2,
                                                                             codebook_float_kernels_avx512};  // by Isa
    if (input().bits > 0) return kIntegers[static_cast<int>(isa)]().rows[view_.group == 16][sums_][wide_];
    return kFloats[static_cast<int>(isa)]()[!bytes_];
  }
  const void* kernel_data() const override { return &view_; }
  std::string describe() const override { return fmt::format("codebook {}", format_.label()); }

  void expand(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++)
      for (i64 c = 0; c < out.cols; c++) {
        i64 r = first + i, g = format_.group_of(c);
        float scale = load(*format_.scale, places_.scales_at, r, g) * view_.factor;
        float minimum = format_.has_minimum ? load(minimum_type(format_), places_.minima_at, r, g) : 0;
        out(i, c) = std::fma(level(r, c), scale, minimum);
      }
  }

  bool scales_are_finite() const {
    for (i64 p = 0; p < panels(); p++)
      for (i64 i = 0; i < places_.groups * kPanelRows; i++) {
        if (!std::isfinite(format_.scale->load(panel(p) + places_.scales_at + i * format_.scale->bytes))) return false;
        const ScaleType& type = minimum_type(format_);
        if (format_.has_minimum && !std::isfinite(type.load(panel(p) + places_.minima_at + i * type.bytes))) return false;
      }
    return true;
  }

  Quantized unpack() const {
    Quantized q = Quantized::zeros(format_, shape());
    q.tensor_scale = tensor_scale_;
    for (i64 r = 0; r < shape().rows; r++) {
      for (i64 c = 0; c < q.codes.cols(); c++) q.codes(r, c) = static_cast<std::uint16_t>(code(r, c));
      for (i64 level = 0; level < q.tables.cols(); level++) q.tables(r, level) = static_cast<float>(int{row_levels(r)[level]} - kRowOffset);
      for (i64 g = 0; g < places_.groups; g++) {
        q.scales(r, g) = load(*format_.scale, places_.scales_at, r, g);
        if (format_.has_minimum) q.minima(r, g) = load(minimum_type(format_), places_.minima_at, r, g);
      }
    }
    return q;
  }

 private:
  // Where plane 0 has the bit of a code, as byte in the panel and bit in the byte; the other planes follow every 64 B.
  struct Bit {
    i64 byte;
    int bit;
  };
  Bit bit_of(i64 row, i64 code) const {
    i64 r = row % kPanelRows;
    if (format_.grid.dimension() == 2) {
      i64 column = code % 16 + 16 * (r / 16);
      return {code / 16 * places_.unit_bytes + r % 16 * 4 + column / 8, static_cast<int>(column % 8)};
    }
    return {code / 32 * places_.unit_bytes + r / 16 * 64 * places_.bits + r % 16 * 4 + code % 32 / 8, static_cast<int>(code % 8)};
  }
  // Where the pattern of a code of 8 weights is; the signs are 64 B behind it.
  i64 pattern_of(i64 row, i64 code) const {
    i64 r = row % kPanelRows;
    return code / 4 * places_.unit_bytes + r / 16 * 128 + code % 4 * 16 + r % 16;
  }

  int code(i64 r, i64 c) const {
    const auto* data = reinterpret_cast<const u8*>(panel(r / kPanelRows));
    if (format_.grid.patterns()) return data[pattern_of(r, c)] | data[pattern_of(r, c) + 64] << 8;
    Bit at = bit_of(r, c);
    int code = 0;
    for (i64 p = 0; p < places_.bits; p++) code = 2 * code + (data[at.byte + 64 * p] >> at.bit & 1);
    return std::min(code, format_.grid.levels() - 1);
  }
  const u8* row_levels(i64 r) const { return reinterpret_cast<const u8*>(panel(r / kPanelRows)) + places_.levels_at + r % kPanelRows * 16; }
  float load(const ScaleType& type, i64 at, i64 r, i64 g) const {
    return type.load(panel(r / kPanelRows) + at + (g * kPanelRows + r % kPanelRows) * type.bytes);
  }
  // As the kernels have it: an integer, or a float of 24 bits.
  float level(i64 r, i64 c) const {
    int dimension = format_.grid.dimension(), k = code(r, c / dimension), i = static_cast<int>(c % dimension);
    if (format_.row_tables) return static_cast<float>(int{row_levels(r)[k]} - kRowOffset);
    if (format_.grid.patterns()) return 4 * format_.grid.value(k, i);
    if (bytes_) return static_cast<float>(int{view_.table[i][k]} - view_.offset);
    return round_to_24_bits(format_.grid.value(k));
  }

  void pack_panel(const Quantized& q, i64 p) {
    auto* out = reinterpret_cast<u8*>(writable_panel(p));
    std::memset(out, 0, static_cast<std::size_t>(places_.panel_bytes));
    for (i64 r = p * kPanelRows; r < std::min((p + 1) * kPanelRows, q.shape().rows); r++) {
      for (i64 c = 0; c < q.codes.cols(); c++) {
        int code = q.codes(r, c);
        if (format_.grid.patterns()) {
          out[pattern_of(r, c)] = static_cast<u8>(code);
          out[pattern_of(r, c) + 64] = static_cast<u8>(code >> 8);
          continue;
        }
        Bit at = bit_of(r, c);
        for (i64 b = 0; b < places_.bits; b++)
          if (code >> (places_.bits - 1 - b) & 1) out[at.byte + 64 * b] |= static_cast<u8>(1 << at.bit);
      }
      for (i64 level = 0; level < q.tables.cols(); level++)
        out[places_.levels_at + r % kPanelRows * 16 + level] = static_cast<u8>(static_cast<int>(q.tables(r, level)) + kRowOffset);
      for (i64 g = 0; g < places_.groups; g++) {
        i64 at = g * kPanelRows + r % kPanelRows;
        format_.scale->store(q.scales(r, g), writable_panel(p) + places_.scales_at + at * format_.scale->bytes);
        const ScaleType& type = minimum_type(format_);
        if (format_.has_minimum) type.store(q.minima(r, g), writable_panel(p) + places_.minima_at + at * type.bytes);
      }
    }
  }

  void set_view() {
    view_.units = places_.units;
    view_.panel_bytes = places_.panel_bytes;
    view_.ahead_bytes = round_up<i64>(ceil_div(places_.panel_bytes, places_.units), 64);
    view_.scales_at = places_.scales_at;
    view_.minima_at = format_.has_minimum ? places_.minima_at : -1;
    view_.levels_at = places_.levels_at;
    view_.group = format_.group == kWholeRow ? round_up<i64>(shape().cols, 32) : format_.group;
    view_.scale = scale_kind(*format_.scale);
    view_.minimum = scale_kind(minimum_type(format_));
    view_.middle = 0;
    UnitSums sums(format_.group, input());
    view_.span_units = sums.span_units;
    view_.late = sums.late();
    view_.has_minimum = format_.has_minimum;  // then activations are floats
    sums_ = sums.kind;
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

  NumberFormat format_;
  Places places_;
  float tensor_scale_;
  int sums_ = 0;
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
  if (!m.format.open_parameter.empty()) fail(Fault::file, "{} does not say which {}", m.format.name, m.format.open_parameter);
  i64 want = ceil_div(m.shape.rows, kPanelRows) * Places(m.format, m.shape.cols).panel_bytes;
  if (static_cast<i64>(m.bytes.size()) != want)
    fail(Fault::file, "a {}x{} matrix in codebook {} has {} bytes, expected {}", m.shape.rows, m.shape.cols, m.format.label(), m.bytes.size(),
         want);
  auto matrix = std::make_unique<Codebook>(m);
  if (!matrix->scales_are_finite()) fail(Fault::file, "holds scales that are Inf or not a number");
  return matrix;
}

Quantized unpack_codebook(const PackedLinear& packed) { return dynamic_cast<const Codebook&>(packed).unpack(); }

}  // namespace bitkerf
