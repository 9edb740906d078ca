#include "forms/bit_planes/form.h"

#include <algorithm>

#include <fmt/format.h>

#include "forms/bit_planes/planes.h"
#include "forms/unit_panel.h"

namespace bitkerf {

const PanelKernels& planes_kernels_portable(int bits, int shift, bool group16, bool minimum, int sums);
const PanelKernels& planes_kernels_avx2(int bits, int shift, bool group16, bool minimum, int sums);
const PanelKernels& planes_kernels_avx512(int bits, int shift, bool group16, bool minimum, int sums);
const PanelKernels& popcount_kernels_portable(bool bipolar);
const PanelKernels& popcount_kernels_avx2(bool bipolar);
const PanelKernels& popcount_kernels_avx512(bool bipolar);
const PanelKernels& lookup_kernels_portable(int bits);
const PanelKernels& lookup_kernels_avx2(int bits);
const PanelKernels& lookup_kernels_avx512(int bits);

namespace {

using u8 = std::uint8_t;

UnitPlaces places_of(const NumberFormat& format, i64 cols) { return {format, cols, 128 * format.grid.bits()}; }

// The name of the fastest of three consumers, from bench/crossover.py: W bits of weights, A of activations (planes up to
// 4). It need not be there (no planes, groups of 16, more than 4 bits to look up): "expand" always is.
//
// Many tokens, AVX-512: popcount makes 2050 / (W A) GMAC/s, expand 450, and unpacking costs as much as 24 / 4.6 tokens, of
// more than 4 planes 45 / 4.6. One token, where expand unpacks in registers: lookup takes a time proportional to W, popcount
// one that grows with W A. Where sums end every 32 columns lookup has more to add up than expand (W = 4: 170 and 225 Gop/s;
// 2: 204 and 219; 1: 293 and 226). On AVX2 popcount makes 390 / (W A), expand 105, and lookup is no faster than expand.
std::string_view fastest(Isa isa, int w, int a, i64 tokens, i64 span_units) {
  if (isa == Isa::portable) return "expand";
  const bool looked_up = isa == Isa::avx512 && w <= (span_units > 1 ? 4 : 1);
  if (tokens == 1) return a <= 2 || (a == 3 && (w == 1 || w > 4)) ? "popcount" : looked_up ? "lookup" : "expand";
  return 10 * w * a * tokens <= (isa == Isa::avx512 ? 46 : 37) * tokens + (w <= 4 ? 240 : 450) ? "popcount" : "expand";
}

class BitPlanes final : public UnitLinear {
 public:
  BitPlanes(const Quantized& q, const Encoding& input, Threads& threads) : UnitLinear(q, places_of(q.format, q.shape().cols), input) {
    const int bits = format_.grid.bits();
    pack_rows(q, threads, [&](i64 r, u8* panel) {
      for (i64 c = 0; c < shape().cols; c++)
        for (int b = 0; b < bits; b++)
          if (q.codes(r, c) >> (bits - 1 - b) & 1) panel[b * plane_bytes() + byte_of(r, c)] |= static_cast<u8>(1 << (c % 8));
    });
    choose_view(bits);
  }
  BitPlanes(const PackedMatrix& m, int read_bits) : UnitLinear(m, places_of(m.format, m.shape.cols)) {
    choose_view(read_bits == 0 ? format_.grid.bits() : std::min(read_bits, format_.grid.bits()));
  }

  KernelList kernels(Isa isa) const override {
    static constexpr decltype(&planes_kernels_portable) kTables[] = {planes_kernels_portable, planes_kernels_avx2,
                                                                     planes_kernels_avx512};  // by Isa
    static constexpr decltype(&popcount_kernels_portable) kPopcount[] = {popcount_kernels_portable, popcount_kernels_avx2,
                                                                         popcount_kernels_avx512};
    static constexpr decltype(&lookup_kernels_portable) kLookup[] = {lookup_kernels_portable, lookup_kernels_avx2, lookup_kernels_avx512};
    int at = static_cast<int>(isa);
    KernelList list(kTables[at](bits_, shift_, view_.group == 16, view_.has_minimum, sums_));
    if (view_.group == 16) return list;  // the others take whole words
    if (input().has_planes()) list.add(kPopcount[at](input().bipolar));
    if (input().has_tables() && bits_ <= 4) list.add(kLookup[at](bits_));
    return list;
  }
  const PanelKernels& choose(Isa isa, i64 tokens) const override {
    KernelList list = kernels(isa);
    auto named = [&](std::string_view name) {
      for (const PanelKernels* kernels : list.all())
        if (kernels->name == name && kernels->takes(tokens)) return kernels;
      return list.rows[0];
    };
    return *named(fastest(isa, bits_, input().bits, tokens, view_.span_units));
  }
  // Planes that are not read cost no time.
  i64 bytes() const override { return panels() * (places_.panel_bytes - (format_.grid.bits() - bits_) * plane_bytes()); }
  const void* kernel_data() const override { return &view_; }
  std::string describe() const override {
    return bits_ == format_.grid.bits() ? fmt::format("bit_planes {}", format_.name)
                                        : fmt::format("bit_planes {}, top {} bits", format_.name, bits_);
  }

  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++)
      for (i64 c = 0; c < out.cols; c++) {
        i64 r = first + i, g = format_.group_of(c);
        float scale = scale_of(r, g);
        float w = scale * view_.factor * static_cast<float>((code(r, c, bits_) << shift_) - view_.offset);
        if (view_.middle != 0) w += scale * view_.middle;
        if (format_.has_minimum) w += minimum_of(r, g);
        out(i, c) = w;
      }
  }

  Quantized unpack() const {
    Quantized q = unpack_scales();
    for (i64 r = 0; r < shape().rows; r++)
      for (i64 c = 0; c < shape().cols; c++) q.codes(r, c) = static_cast<std::uint16_t>(code(r, c, format_.grid.bits()));
    return q;
  }

 private:
  i64 byte_of(i64 row, i64 col) const { return col / 32 * 128 + row % kPanelRows * 4 + col % 32 / 8; }
  i64 plane_bytes() const { return places_.units * 128; }
  int code(i64 r, i64 c, int bits) const {
    const u8* at = panel_of(r) + byte_of(r, c);
    int code = 0;
    for (int p = 0; p < bits; p++) code = 2 * code + (at[p * plane_bytes()] >> (c % 8) & 1);
    return code;
  }

  // The top r planes stand for the middle of the cell that they leave open. Of bipolar codes that middle is a bipolar
  // code of r bits again (Matryoshka, with no rounding carry); otherwise it is half a step off an integer.
  void choose_view(int r) {
    const Grid& grid = format_.grid;
    bits_ = r;
    int dropped = grid.bits() - r;
    fill(view_, false, dropped * plane_bytes());
    view_.plane_bytes = plane_bytes();
    float step = tensor_scale_ * static_cast<float>(grid.step() << dropped);  // of a level
    view_.bits = r;
    view_.cols = shape().cols;
    bool bipolar = grid.step() == 2 && grid.first() == -((1 << grid.bits()) - 1);
    if (bipolar && r < 8) {
      shift_ = 1;
      view_.factor = step / 2;
      view_.offset = (1 << r) - 1;
      view_.middle = 0;
    } else if (dropped == 0 && grid.first() % grid.step() == 0) {
      shift_ = 0;
      view_.factor = step;
      view_.offset = -grid.first() / grid.step();
      view_.middle = 0;
    } else {
      shift_ = 0;
      view_.factor = step;
      view_.offset = 0;
      view_.middle = tensor_scale_ * (static_cast<float>(grid.first()) + static_cast<float>(grid.step() * ((1 << dropped) - 1)) / 2);
    }
    view_.has_minimum = format_.has_minimum || view_.middle != 0;
    view_.shift = shift_;
  }

  int bits_ = 0, shift_ = 0;
  PlaneView view_{};
};

}  // namespace

bool bit_planes_hold(const NumberFormat& format) {
  return format.grid.splits_into_bits() && (format.group == kWholeRow || format.group == 16 || format.group % 32 == 0);
}

std::unique_ptr<PackedLinear> pack_bit_planes(const Quantized& quantized, const Encoding& input, Threads& threads) {
  return std::make_unique<BitPlanes>(quantized, input, threads);
}

std::unique_ptr<PackedLinear> open_bit_planes(const PackedMatrix& m, int read_bits) {
  check_packed(m, "bit_planes", places_of(m.format, m.shape.cols).panel_bytes);
  auto matrix = std::make_unique<BitPlanes>(m, read_bits);
  matrix->check_scales();
  return matrix;
}

Quantized unpack_bit_planes(const PackedLinear& packed) { return dynamic_cast<const BitPlanes&>(packed).unpack(); }

}  // namespace bitkerf
