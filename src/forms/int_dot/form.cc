#include "forms/int_dot/form.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "core/error.h"
#include "formats/int8_levels.h"
#include "forms/fixed_point/words.h"
#include "forms/int_dot/kernels.h"
#include "forms/int_dot/layout.h"
#include "forms/unit_sums.h"

namespace bitkerf {
namespace {

using u8 = std::uint8_t;

int code_bits(const NumberFormat& format) { return std::max(2, format.grid.bits()); }

// A grid's levels as the kernels have them: level ~ step * (u - offset).
struct Levels {
  enum { codes, bytes, pairs } kind;
  float step;
  int offset;
  std::vector<int> u;  // by code
  bool exact;

  explicit Levels(const Grid& grid) {
    if (grid.is_affine() && grid.first() % grid.step() == 0) {
      kind = codes;
      step = static_cast<float>(grid.step());
      offset = -grid.first() / grid.step();
      exact = true;
      for (int code = 0; code < 256; code++) u.push_back(code);
      return;
    }
    std::optional<Int8Levels> small = int8_levels(grid);
    kind = small ? bytes : pairs;
    exact = small ? small->cost == 0 : false;
    if (small) {
      step = small->step;
      offset = -small->lowest;
      for (std::int8_t v : small->values) u.push_back(v + offset);
    } else {
      // Two bytes: exact where all levels are multiples of some step, otherwise the rounding is 16384 times smaller than
      // the largest level.
      constexpr float kMost = 16383;
      step = grid.magnitude() / kMost;
      for (float power = std::ldexp(1.0f, std::ilogb(step) + 1); power <= 256 * step && !exact; power *= 2) {
        exact = true;
        for (int code = 0; code < grid.levels(); code++) exact &= std::fmod(grid.value(code), power) == 0;
        if (exact) step = power;
      }
      offset = static_cast<int>(kMost);
      for (int code = 0; code < grid.levels(); code++) u.push_back(static_cast<int>(std::nearbyint(grid.value(code) / step)) + offset);
    }
    // Codes that stand for nothing (a damaged file) repeat the last level.
    u.resize(256, u.back());
  }
};

// Where things are in a panel.
struct Places {
  i64 bits, units, groups, scales_at, minima_at, panel_bytes;
  Places(const NumberFormat& format, i64 cols)
      : bits(code_bits(format)), units(ceil_div<i64>(cols, 32)), groups(format.groups(cols)), scales_at(units * bits * 128) {
    // Kernels go by units of 32 columns, so of groups of 16 there is an even number (the last one zero).
    i64 stored = (format.group == 16 ? 2 * units : groups) * kPanelRows;
    minima_at = round_up<i64>(scales_at + stored * format.scale->bytes, 64);
    panel_bytes = format.has_minimum ? round_up<i64>(minima_at + stored * minimum_type(format).bytes, 64) : minima_at;
  }
};

// The fields of layout.h: calls take(byte in the half unit, lowest bit in the byte, bits, lowest bit in the code).
template <class Take>
void each_field(int bits, i64 row, i64 col, Take&& take) {
  i64 s = col % 32 / 4, at = row % 16 * 4 + col % 4;
  if (bits == 8) return take(64 * s + at, 0, 8, 0);
  int low = bits >= 4 ? 4 : 2;
  if (low == 4) take(64 * (s % 4) + at, s < 4 ? 0 : 4, 4, 0);
  else take(64 * (s / 4) + at, static_cast<int>(2 * (s % 4)), 2, 0);
  if (bits >= 6) take(256 + 64 * (s / 4) + at, static_cast<int>(2 * (s % 4)), 2, 4);
  if (bits % 2 == 1) take((bits - 1) * 64 + 8 * s + at / 8, static_cast<int>(at % 8), 1, bits - 1);
}

class IntDot final : public PackedLinear {
 public:
  IntDot(const Quantized& q, const Encoding& input, Threads& threads)
      : PackedLinear(q.shape(), Places(q.format, q.shape().cols).panel_bytes, input), format_(q.format),
        places_(q.format, q.shape().cols), tensor_scale_(q.tensor_scale), levels_(q.format.grid) {
    threads.split(panels(), [&](i64 first, i64 last) {
      for (i64 p = first; p < last; p++) pack_panel(q, p);
    });
    set_view();
  }
  explicit IntDot(const PackedMatrix& m)
      : PackedLinear(m.shape, Places(m.format, m.shape.cols).panel_bytes, *m.input, m.bytes.data()), format_(m.format),
        places_(m.format, m.shape.cols), tensor_scale_(m.tensor_scale), levels_(m.format.grid) {
    set_view();
  }

  KernelList kernels(Isa isa) const override {
    static constexpr decltype(&int_dot_kernels_portable) kTables[] = {int_dot_kernels_portable, int_dot_kernels_avx2,
                                                                      int_dot_kernels_avx512};  // by Isa
    const IntDotKernels& all = kTables[static_cast<int>(isa)]();
    auto at = static_cast<std::size_t>(places_.bits - 2);
    bool group16 = view_.group == 16;
    if (levels_.kind == Levels::codes) return all.codes[at][group16][format_.has_minimum][sums_][places_.bits == 8];
    if (levels_.kind == Levels::bytes) return all.table[at][group16][sums_][*std::max_element(levels_.u.begin(), levels_.u.end()) > 127];
    return all.pairs[at][group16][view_.late];
  }
  const void* kernel_data() const override { return &view_; }
  std::string describe() const override { return fmt::format("int_dot {}", format_.label()); }

  void expand(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++)
      for (i64 c = 0; c < out.cols; c++) {
        i64 r = first + i, g = format_.group_of(c);
        float scale = load(*format_.scale, places_.scales_at, r, g) * view_.factor;
        float w = scale * static_cast<float>(levels_.u[static_cast<std::size_t>(code(r, c))] - levels_.offset);
        if (format_.has_minimum) w += load(minimum_type(format_), places_.minima_at, r, g);
        out(i, c) = w;
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
      for (i64 c = 0; c < shape().cols; c++) q.codes(r, c) = static_cast<std::uint16_t>(std::min(code(r, c), format_.grid.levels() - 1));
      for (i64 g = 0; g < places_.groups; g++) {
        q.scales(r, g) = load(*format_.scale, places_.scales_at, r, g);
        if (format_.has_minimum) q.minima(r, g) = load(minimum_type(format_), places_.minima_at, r, g);
      }
    }
    return q;
  }

 private:
  i64 half_unit(i64 r, i64 c) const { return (c / 32 * 2 + r % kPanelRows / 16) * places_.bits * 64; }
  int code(i64 r, i64 c) const {
    const auto* p = reinterpret_cast<const u8*>(panel(r / kPanelRows)) + half_unit(r, c);
    int code = 0;
    each_field(static_cast<int>(places_.bits), r, c,
               [&](i64 byte, int bit, int bits, int to) { code |= (p[byte] >> bit & ((1 << bits) - 1)) << to; });
    return code;
  }
  float load(const ScaleType& type, i64 at, i64 r, i64 g) const {
    return type.load(panel(r / kPanelRows) + at + (g * kPanelRows + r % kPanelRows) * type.bytes);
  }

  void pack_panel(const Quantized& q, i64 p) {
    auto* out = reinterpret_cast<u8*>(writable_panel(p));
    std::memset(out, 0, static_cast<std::size_t>(places_.panel_bytes));
    for (i64 r = p * kPanelRows; r < std::min((p + 1) * kPanelRows, q.shape().rows); r++) {
      for (i64 c = 0; c < q.shape().cols; c++) {
        u8* half = out + half_unit(r, c);
        int code = q.codes(r, c);
        each_field(static_cast<int>(places_.bits), r, c, [&](i64 byte, int bit, int bits, int from) {
          half[byte] = static_cast<u8>(half[byte] | (code >> from & ((1 << bits) - 1)) << bit);
        });
      }
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
    view_.group = format_.group == kWholeRow ? round_up<i64>(shape().cols, 32) : format_.group;
    UnitSums sums(format_.group, input());
    view_.span_units = sums.span_units;
    view_.late = sums.late();
    view_.has_minimum = format_.has_minimum;
    sums_ = sums.kind;
    view_.scale = scale_kind(*format_.scale);
    view_.minimum = scale_kind(minimum_type(format_));
    view_.factor = tensor_scale_ * levels_.step;
    view_.middle = 0;
    view_.offset = levels_.offset;
    for (std::size_t code = 0; code < 256; code++) {
      view_.table[0][code] = static_cast<u8>(levels_.u[code] & 255);
      view_.table[1][code] = static_cast<u8>(levels_.u[code] >> 8);
    }
  }

  NumberFormat format_;
  Places places_;
  float tensor_scale_;
  Levels levels_;
  int sums_ = 0;
  IntDotView view_{};
};

}  // namespace

bool int_dot_holds(const NumberFormat& format) {
  const Grid& grid = format.grid;
  if (grid.dimension() != 1 || grid.levels() > 256 || format.row_tables) return false;
  if (format.group != kWholeRow && format.group != 16 && format.group % 32 != 0) return false;
  return !format.has_minimum || (grid.is_affine() && grid.first() % grid.step() == 0);
}

bool int_dot_takes(const NumberFormat& format, const Encoding& input) {
  return input.bits > 0 && !is_fixed_point(input) && (input.bits <= 8 || Levels(format.grid).kind != Levels::pairs);
}

float int_dot_rounding(const NumberFormat& format) {
  Levels levels(format.grid);
  float most = 0;
  for (int code = 0; !levels.exact && code < format.grid.levels(); code++) {
    float level = levels.step * static_cast<float>(levels.u[static_cast<std::size_t>(code)] - levels.offset);
    most = std::max(most, std::fabs(level - format.grid.value(code)));
  }
  return most;
}

std::unique_ptr<PackedLinear> pack_int_dot(const Quantized& quantized, const Encoding& input, Threads& threads) {
  return std::make_unique<IntDot>(quantized, input, threads);
}

std::unique_ptr<PackedLinear> open_int_dot(const PackedMatrix& m, int) {
  if (!m.format.open_parameter.empty()) fail(Fault::file, "{} does not say which {}", m.format.name, m.format.open_parameter);
  i64 want = ceil_div(m.shape.rows, kPanelRows) * Places(m.format, m.shape.cols).panel_bytes;
  if (static_cast<i64>(m.bytes.size()) != want)
    fail(Fault::file, "a {}x{} matrix in int_dot {} has {} bytes, expected {}", m.shape.rows, m.shape.cols, m.format.label(),
         m.bytes.size(), want);
  auto matrix = std::make_unique<IntDot>(m);
  if (!matrix->scales_are_finite()) fail(Fault::file, "holds scales that are Inf or not a number");
  return matrix;
}

Quantized unpack_int_dot(const PackedLinear& packed) { return dynamic_cast<const IntDot&>(packed).unpack(); }

}  // namespace bitkerf
