#include "forms/int_dot/form.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "formats/int8_levels.h"
#include "forms/fixed_point/words.h"
#include "forms/int_dot/kernels.h"
#include "forms/int_dot/layout.h"
#include "forms/unit_panel.h"

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

UnitPlaces places_of(const NumberFormat& format, i64 cols) { return {format, cols, 128 * code_bits(format)}; }

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

class IntDot final : public UnitLinear {
 public:
  IntDot(const Quantized& q, const Encoding& input, Threads& threads)
      : UnitLinear(q, places_of(q.format, q.shape().cols), input), bits_(code_bits(q.format)), levels_(q.format.grid) {
    pack_rows(q, threads, [&](i64 r, u8* panel) {
      for (i64 c = 0; c < shape().cols; c++) {
        u8* half = panel + half_unit(r, c);
        int code = q.codes(r, c);
        each_field(bits_, r, c, [&](i64 byte, int bit, int bits, int from) {
          half[byte] = static_cast<u8>(half[byte] | (code >> from & ((1 << bits) - 1)) << bit);
        });
      }
    });
    set_view();
  }
  explicit IntDot(const PackedMatrix& m)
      : UnitLinear(m, places_of(m.format, m.shape.cols)), bits_(code_bits(m.format)), levels_(m.format.grid) {
    set_view();
  }

  KernelList kernels(Isa isa) const override {
    static constexpr decltype(&int_dot_kernels_portable) kTables[] = {int_dot_kernels_portable, int_dot_kernels_avx2,
                                                                      int_dot_kernels_avx512};  // by Isa
    const IntDotKernels& all = kTables[static_cast<int>(isa)]();
    auto at = static_cast<std::size_t>(bits_ - 2);
    bool group16 = view_.group == 16;
    if (levels_.kind == Levels::codes) return all.codes[at][group16][format_.has_minimum][sums_][bits_ == 8];
    if (levels_.kind == Levels::bytes) return all.table[at][group16][sums_][*std::max_element(levels_.u.begin(), levels_.u.end()) > 127];
    return all.pairs[at][group16][view_.late];
  }
  const void* kernel_data() const override { return &view_; }
  std::string describe() const override { return fmt::format("int_dot {}", format_.label()); }

  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++)
      for (i64 c = 0; c < out.cols; c++) {
        i64 r = first + i, g = format_.group_of(c);
        float scale = scale_of(r, g) * view_.factor;
        float w = scale * static_cast<float>(levels_.u[static_cast<std::size_t>(code(r, c))] - levels_.offset);
        if (format_.has_minimum) w += minimum_of(r, g);
        out(i, c) = w;
      }
  }

  Quantized unpack() const {
    Quantized q = unpack_scales();
    for (i64 r = 0; r < shape().rows; r++)
      for (i64 c = 0; c < shape().cols; c++) q.codes(r, c) = static_cast<std::uint16_t>(std::min(code(r, c), format_.grid.levels() - 1));
    return q;
  }

 private:
  i64 half_unit(i64 r, i64 c) const { return (c / 32 * 2 + r % kPanelRows / 16) * bits_ * 64; }
  int code(i64 r, i64 c) const {
    const u8* p = panel_of(r) + half_unit(r, c);
    int code = 0;
    each_field(bits_, r, c, [&](i64 byte, int bit, int bits, int to) { code |= (p[byte] >> bit & ((1 << bits) - 1)) << to; });
    return code;
  }
  void set_view() {
    fill(view_, true);
    view_.factor = tensor_scale_ * levels_.step;
    view_.middle = 0;
    view_.offset = levels_.offset;
    for (std::size_t code = 0; code < 256; code++) {
      view_.table[0][code] = static_cast<u8>(levels_.u[code] & 255);
      view_.table[1][code] = static_cast<u8>(levels_.u[code] >> 8);
    }
  }

  const int bits_;
  const Levels levels_;
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
  check_packed(m, "int_dot", places_of(m.format, m.shape.cols).panel_bytes);
  auto matrix = std::make_unique<IntDot>(m);
  matrix->check_scales();
  return matrix;
}

Quantized unpack_int_dot(const PackedLinear& packed) { return dynamic_cast<const IntDot&>(packed).unpack(); }

}  // namespace bitkerf
