#include "forms/product_study/form.h"

#include <cstring>

#include <fmt/format.h>

#include "core/error.h"

namespace bitkerf {

extern const PanelKernels kStudy_portable, kStudy_avx2, kStudy_avx512;

namespace {

// A panel: [column][32 rows] floats, rounded to operands.
class ProductStudy final : public PackedLinear {
 public:
  ProductStudy(const StoredMatrix& matrix, const ProductMode& mode, Threads& threads)
      : PackedLinear(matrix.shape, matrix.shape.cols * kPanelRows * 4, float_input()), mode_(mode) {
    i64 row_bytes = matrix.type->bytes(shape().cols);
    Operands operands(mode);
    threads.split(panels(), [&](i64 first, i64 last) {
      Buffer<float> row(shape().cols);
      for (i64 p = first; p < last; p++) {
        auto* out = reinterpret_cast<float*>(writable_panel(p));
        std::memset(out, 0, static_cast<std::size_t>(shape().cols * kPanelRows * 4));
        for (i64 r = p * kPanelRows; r < std::min((p + 1) * kPanelRows, shape().rows); r++) {
          matrix.type->dequantize(matrix.data + r * row_bytes, shape().cols / matrix.type->block, row.data());
          for (i64 c = 0; c < shape().cols; c++) out[c * kPanelRows + r % kPanelRows] = operands(row[c]);
        }
      }
    });
  }
  KernelList kernels(Isa isa) const override {
    static constexpr const PanelKernels* kRows[] = {&kStudy_portable, &kStudy_avx2, &kStudy_avx512};  // by Isa
    return *kRows[static_cast<int>(isa)];
  }
  const void* kernel_data() const override { return &mode_.l_mul; }
  std::string describe() const override { return fmt::format("{} products", mode_.name); }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++)
      for (i64 c = 0; c < out.cols; c++)
        out(i, c) = reinterpret_cast<const float*>(panel((first + i) / kPanelRows))[c * kPanelRows + (first + i) % kPanelRows];
  }

 private:
  const ProductMode& mode_;
};

}  // namespace

std::unique_ptr<Linear> make_product_study(const StoredMatrix& matrix, const ProductMode& mode, Threads& threads) {
  if (mode.l_mul.mantissa_bits == 0) fail(Fault::usage, "linear layers multiply by {} as a number format with scales: quantize --recipe '*=rtn/{}'", mode.name, mode.name);
  return std::make_unique<ProductStudy>(matrix, mode, threads);
}

}  // namespace bitkerf
