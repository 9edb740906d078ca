#include "forms/fixed_point/form.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "core/error.h"
#include "forms/fixed_point/words.h"

namespace bitkerf {

extern const PanelKernels kWords_portable, kWords_avx2, kWords_avx512;

namespace {

class FixedPoint final : public PackedLinear {
 public:
  FixedPoint(const Quantized& q, const Encoding& input, Threads& threads)
      : PackedLinear(q.shape(), panel_size(q.format, q.shape().cols), input), format_(q.format), tensor_scale_(q.tensor_scale) {
    threads.split(panels(), [&](i64 first, i64 last) {
      for (i64 p = first; p < last; p++) pack_panel(q, p);
    });
    look_at_codes();
  }
  explicit FixedPoint(const PackedMatrix& m)
      : PackedLinear(m.shape, panel_size(m.format, m.shape.cols), *m.input, m.bytes.data()), format_(m.format), tensor_scale_(m.tensor_scale) {
    look_at_codes();
  }
  static i64 panel_size(const NumberFormat& format, i64 cols) { return round_up<i64>(codes_size(cols) + kPanelRows * format.scale->bytes, 64); }

  KernelList kernels(Isa isa) const override {
    static constexpr const PanelKernels* kRows[] = {&kWords_portable, &kWords_avx2, &kWords_avx512};  // by Isa
    return *kRows[static_cast<int>(isa)];
  }
  const void* kernel_data() const override { return &view_; }
  std::string describe() const override { return fmt::format("fixed_point {}", format_.name); }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++)
      for (i64 c = 0; c < out.cols; c++) {
        i64 r = first + i;
        out(i, c) = static_cast<float>(code(r, c) * scales_[r]);
      }
  }

  bool is_sound() const {
    for (double s : scales_.span())
      if (!std::isfinite(s)) return false;
    return largest_ <= 32767;
  }
  Quantized unpack() const {
    Quantized q = Quantized::zeros(format_, shape());
    q.tensor_scale = tensor_scale_;
    for (i64 r = 0; r < shape().rows; r++) {
      for (i64 c = 0; c < shape().cols; c++) q.codes(r, c) = static_cast<std::uint16_t>(code(r, c) - format_.grid.first());
      q.scales(r, 0) = format_.scale->load(scale_at(r));
    }
    return q;
  }

 private:
  static i64 codes_size(i64 cols) { return round_up<i64>(cols, 2) * kPanelRows * 2; }
  static i64 place(i64 row, i64 col) { return (col / 2 * kPanelRows + row % kPanelRows) * 2 + col % 2; }
  int code(i64 r, i64 c) const { return reinterpret_cast<const std::int16_t*>(panel(r / kPanelRows))[place(r, c)]; }
  const std::byte* scale_at(i64 r) const { return panel(r / kPanelRows) + codes_size(shape().cols) + r % kPanelRows * format_.scale->bytes; }

  void pack_panel(const Quantized& q, i64 p) {
    std::byte* out = writable_panel(p);
    i64 cols = shape().cols;
    std::memset(out, 0, static_cast<std::size_t>(panel_size(format_, cols)));
    auto* codes = reinterpret_cast<std::int16_t*>(out);
    for (i64 r = p * kPanelRows; r < std::min((p + 1) * kPanelRows, q.shape().rows); r++) {
      for (i64 c = 0; c < cols; c++) codes[place(r, c)] = static_cast<std::int16_t>(format_.grid.first() + q.codes(r, c));
      format_.scale->store(q.scales(r, 0), out + codes_size(cols) + r % kPanelRows * format_.scale->bytes);
    }
  }

  // Scales as doubles, and how much runs of codes can add up to. Never taken from a file: a wrong number would wrap.
  void look_at_codes() {
    scales_ = Buffer<double>(panels() * kPanelRows);
    sums_ = Buffer<std::int64_t>(panels() * WordsView::kRuns);
    i64 pairs = ceil_div<i64>(shape().cols, 2);
    for (i64 p = 0; p < panels(); p++) {
      const auto* codes = reinterpret_cast<const std::int16_t*>(panel(p));
      for (i64 r = 0; r < std::min(kPanelRows, shape().rows - p * kPanelRows); r++)
        scales_[p * kPanelRows + r] = double{format_.scale->load(scale_at(p * kPanelRows + r))} * tensor_scale_;
      std::int64_t run[WordsView::kRuns][kPanelRows] = {};
      for (i64 pair = 0; pair < pairs; pair++) {
        for (i64 r = 0; r < kPanelRows; r++) {
          int a = std::abs(int{codes[(pair * kPanelRows + r) * 2]}), b = std::abs(int{codes[(pair * kPanelRows + r) * 2 + 1]});
          largest_ = std::max({largest_, a, b});
          run[0][r] = a + b;
        }
        // Runs of 2^i pairs end where the pair's number has i ones at its end, or the row ends.
        for (int i = 0; i < WordsView::kRuns; i++) {
          bool ends = (pair + 1) % (i64{1} << i) == 0;
          std::int64_t& most = sums_[p * WordsView::kRuns + i];
          for (i64 r = 0; r < kPanelRows; r++) {
            most = std::max(most, run[i][r]);
            if (!ends) continue;
            if (i + 1 < WordsView::kRuns) run[i + 1][r] += run[i][r];
            run[i][r] = 0;
          }
          if (!ends && pair + 1 < pairs) break;
          // The last run of a row is not full: what it has counts for the longer ones too.
          if (!ends && i + 1 < WordsView::kRuns)
            for (i64 r = 0; r < kPanelRows; r++) run[i + 1][r] += run[i][r];
        }
      }
    }
    view_ = {pairs, panel_size(format_, shape().cols), panel(0), sums_.data(), scales_.data()};
  }

  NumberFormat format_;
  float tensor_scale_;
  int largest_ = 0;
  Buffer<double> scales_;
  Buffer<std::int64_t> sums_;
  WordsView view_{};
};

}  // namespace

bool fixed_point_holds(const NumberFormat& format) {
  const Grid& grid = format.grid;
  return format.group == kWholeRow && !format.has_minimum && !format.row_tables && !format.scale->of_row && grid.is_affine() && grid.step() == 1 && grid.bits() > 8 &&
         grid.magnitude() <= 32767;
}

bool fixed_point_takes(const NumberFormat&, const Encoding& input) { return is_fixed_point(input); }

std::unique_ptr<PackedLinear> pack_fixed_point(const Quantized& quantized, const Encoding& input, Threads& threads) {
  return std::make_unique<FixedPoint>(quantized, input, threads);
}

std::unique_ptr<PackedLinear> open_fixed_point(const PackedMatrix& m, int) {
  check_packed(m, "fixed_point", FixedPoint::panel_size(m.format, m.shape.cols));
  auto matrix = std::make_unique<FixedPoint>(m);
  if (!matrix->is_sound()) fail(Fault::file, "holds scales that are Inf or not a number, or the code -32768");
  return matrix;
}

Quantized unpack_fixed_point(const PackedLinear& packed) { return dynamic_cast<const FixedPoint&>(packed).unpack(); }

}  // namespace bitkerf
