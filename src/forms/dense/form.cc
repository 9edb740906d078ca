// Forms that multiply floats.
//   dense         the matrix expanded to float32: the judge of every other form, and the float path of a model
//   dense_half    f16 and bf16 as they are in the file, widened to float32 as they are multiplied: exact, half the bytes
//   dense_bf16    bf16 times bf16: less exact activations, twice the speed where a processor has VDPBF16PS
//   stored_float  a file's blocks kept as they are and expanded a tile at a time: for types without a faster form
#include "core/cpu.h"
#include "formats/stored.h"
#include "forms/dense/form.h"
#include "forms/packed.h"

#include <cstring>

#include <fmt/format.h>

namespace bitkerf {

extern const PanelKernels kDense_portable, kDense_avx2, kDense_avx512;
extern const PanelKernels kHalves_portable[4], kHalves_avx2[4], kHalves_avx512[4];  // see kernels_avx512.cc

namespace {

const PanelKernels& dense_kernels(Isa isa) {
  static constexpr const PanelKernels* kRows[] = {&kDense_portable, &kDense_avx2, &kDense_avx512};  // by Isa
  return *kRows[static_cast<int>(isa)];
}

// 32 rows of floats, (32, count) row-major, to [column][32 rows].
void transpose(const float* rows, i64 stride, i64 count, float* out) {
  for (i64 c = 0; c < count; c++)
    for (i64 r = 0; r < kPanelRows; r++) out[c * kPanelRows + r] = rows[r * stride + c];
}

class Dense final : public PackedLinear {
 public:
  Dense(const StoredMatrix& matrix, const Encoding& input, Threads& threads)
      : PackedLinear(matrix.shape, matrix.shape.cols * kPanelRows * 4, input), from_(matrix.type->name) {
    i64 cols = matrix.shape.cols, row_bytes = matrix.type->bytes(cols);
    threads.split(panels(), [&](i64 first, i64 last) {
      constexpr i64 kChunk = 256;  // columns at a time: a multiple of every block length
      float rows[kPanelRows * kChunk];
      for (i64 p = first; p < last; p++) {
        auto* out = reinterpret_cast<float*>(writable_panel(p));
        for (i64 c = 0; c < cols; c += kChunk) {
          i64 count = std::min(kChunk, cols - c);
          std::memset(rows, 0, sizeof rows);
          for (i64 r = p * kPanelRows; r < std::min(matrix.shape.rows, (p + 1) * kPanelRows); r++)
            matrix.type->dequantize(matrix.data + r * row_bytes + matrix.type->bytes(c), count / matrix.type->block,
                                    rows + (r - p * kPanelRows) * kChunk);
          transpose(rows, kChunk, count, out + c * kPanelRows);
        }
      }
    });
  }
  Dense(const Quantized& q, const Encoding& input, Threads& threads)
      : PackedLinear(q.shape(), q.shape().cols * kPanelRows * 4, input), from_(q.format.name) {
    threads.split(panels(), [&](i64 first, i64 last) {
      for (i64 p = first; p < last; p++) {
        auto* out = reinterpret_cast<float*>(writable_panel(p));
        for (i64 c = 0; c < shape().cols; c++)
          for (i64 r = 0; r < kPanelRows; r++) {
            i64 row = p * kPanelRows + r;
            out[c * kPanelRows + r] = row < shape().rows ? q.weight(row, c) : 0.0f;
          }
      }
    });
  }
  KernelList kernels(Isa isa) const override { return dense_kernels(isa); }
  std::string describe() const override { return fmt::format("dense f32 (from {})", from_); }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++) {
      i64 r = first + i;
      const auto* w = reinterpret_cast<const float*>(panel(r / kPanelRows)) + r % kPanelRows;
      for (i64 c = 0; c < out.cols; c++) out(i, c) = w[c * kPanelRows];
    }
  }

 private:
  std::string from_;
};

// Where a half lies in a panel of halves.inl.
i64 half_at(bool brain, i64 r, i64 c) { return brain ? (c / 2 * kPanelRows + r) * 2 + c % 2 : c * kPanelRows + r; }

bool has_bf16_products() {
  static const bool has = cpu_info().features.find("avx512bf16") != std::string::npos;
  return has;
}

class DenseHalf final : public PackedLinear {
 public:
  DenseHalf(const StoredMatrix& matrix, const Encoding& input, Threads& threads)
      : PackedLinear(matrix.shape, round_up<i64>(matrix.shape.cols, 2) * kPanelRows * 2, input), type_(matrix.type),
        brain_(matrix.type == stored_type("BF16")) {
    i64 cols = matrix.shape.cols;
    threads.split(panels(), [&](i64 first, i64 last) {
      for (i64 p = first; p < last; p++) {
        i64 rows = std::min(kPanelRows, matrix.shape.rows - p * kPanelRows);
        std::memset(writable_panel(p), 0, static_cast<std::size_t>(round_up<i64>(cols, 2) * kPanelRows * 2));
        for (i64 c = 0; c < cols; c++)
          for (i64 r = 0; r < rows; r++)
            std::memcpy(writable_panel(p) + half_at(brain_, r, c) * 2, matrix.data + ((p * kPanelRows + r) * cols + c) * 2, 2);
      }
    });
  }
  KernelList kernels(Isa isa) const override {
    static constexpr const PanelKernels* kRows[] = {kHalves_portable, kHalves_avx2, kHalves_avx512};  // by Isa
    const PanelKernels* rows = kRows[static_cast<int>(isa)];
    if (&input() == &float_input()) return rows[brain_];
    return rows[isa == Isa::avx512 && has_bf16_products() ? 3 : 2];
  }
  std::string describe() const override { return fmt::format("dense {}{}", type_->name, &input() == &float_input() ? "" : " x bf16"); }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++) {
      i64 r = first + i;
      for (i64 c = 0; c < out.cols; c++)
        type_->dequantize(panel(r / kPanelRows) + half_at(brain_, r % kPanelRows, c) * 2, 1, &out(i, c));
    }
  }

 private:
  const StoredType* type_;
  bool brain_;
};

// What the kernels of stored_float need to know; a panel is 32 rows of blocks (zeros behind the last row).
struct StoredRows {
  const StoredType* type;
  i64 row_bytes;
};

const void* unpack_stored(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  const auto& stored = *static_cast<const StoredRows*>(self);
  auto* out = static_cast<float*>(scratch);
  constexpr i64 kChunk = 256;
  float rows[kPanelRows * kChunk] = {};
  for (i64 c = 0; c < count; c += kChunk) {
    i64 n = std::min(kChunk, count - c);
    for (i64 r = 0; r < kPanelRows; r++)
      stored.type->dequantize(panel + r * stored.row_bytes + stored.type->bytes(first + c), n / stored.type->block,
                              rows + r * kChunk);
    transpose(rows, kChunk, n, out + c * kPanelRows);
  }
  return scratch;
}

template <Isa kIsa>
void one_stored(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  constexpr i64 kChunk = 256;
  alignas(64) float tile[kChunk * kPanelRows];
  for (i64 c = 0; c < cols; c += kChunk) {
    i64 n = std::min(kChunk, cols - c);
    dense_kernels(kIsa).tile[1](unpack_stored(self, panel, cols, c, n, tile), cols, c, n, input, tokens, token, y, kPanelRows);
  }
}

template <Isa kIsa>
PanelKernels stored_kernels() {
  PanelKernels kernels = dense_kernels(kIsa);
  kernels.one = one_stored<kIsa>;
  kernels.unpack = unpack_stored;
  kernels.tile_bytes = [](i64 count) { return count * kPanelRows * i64{sizeof(float)}; };
  return kernels;
}

class StoredFloat final : public PackedLinear {
 public:
  StoredFloat(const StoredMatrix& matrix, Threads& threads)
      : PackedLinear(matrix.shape, kPanelRows * matrix.type->bytes(matrix.shape.cols), float_input()),
        stored_{matrix.type, matrix.type->bytes(matrix.shape.cols)} {
    for (i64 p = 0; p < panels(); p++) {
      i64 rows = std::min(kPanelRows, matrix.shape.rows - p * kPanelRows);
      std::memset(writable_panel(p), 0, static_cast<std::size_t>(kPanelRows * stored_.row_bytes));
      std::memcpy(writable_panel(p), matrix.data + p * kPanelRows * stored_.row_bytes, static_cast<std::size_t>(rows * stored_.row_bytes));
    }
  }
  KernelList kernels(Isa isa) const override {
    static const PanelKernels kRows[] = {stored_kernels<Isa::portable>(), stored_kernels<Isa::avx2>(),
                                         stored_kernels<Isa::avx512>()};
    return kRows[static_cast<int>(isa)];
  }
  const void* kernel_data() const override { return &stored_; }
  std::string describe() const override { return fmt::format("stored_float {}", stored_.type->name); }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override {
    for (i64 i = 0; i < out.rows; i++) {
      i64 r = first + i;
      stored_.type->dequantize(panel(r / kPanelRows) + r % kPanelRows * stored_.row_bytes,
                               shape().cols / stored_.type->block, out.row(i));
    }
  }

 private:
  StoredRows stored_;
};

}  // namespace

std::unique_ptr<Linear> make_dense(const StoredMatrix& matrix, Threads& threads) {
  return std::make_unique<Dense>(matrix, float_input(), threads);
}
std::unique_ptr<Linear> make_dense_of_transformed(const StoredMatrix& matrix, const TransformRow& row, Threads& threads) {
  OwnedMatrix<float> weights(matrix.shape.rows, matrix.shape.cols);
  const i64 row_bytes = matrix.type->bytes(matrix.shape.cols);
  threads.split(matrix.shape.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++)
      matrix.type->dequantize(matrix.data + r * row_bytes, matrix.shape.cols / matrix.type->block, weights.view().row(r));
  });
  transform_weights(transform_of(row, matrix.shape.cols), weights.view(), threads);
  StoredMatrix turned{stored_type("F32"), reinterpret_cast<const std::byte*>(weights.view().data), matrix.shape};
  return std::make_unique<Dense>(turned, transformed(float_input(), &row), threads);
}
bool dense_half_holds(const StoredType& type) { return &type == stored_type("F16") || &type == stored_type("BF16"); }
std::unique_ptr<Linear> make_dense_half(const StoredMatrix& matrix, Threads& threads) {
  return std::make_unique<DenseHalf>(matrix, float_input(), threads);
}
bool dense_bf16_holds(const StoredType& type) { return &type == stored_type("BF16"); }
std::unique_ptr<Linear> make_dense_bf16(const StoredMatrix& matrix, Threads& threads) {
  return std::make_unique<DenseHalf>(matrix, encoding("bf16"), threads);
}
std::unique_ptr<PackedLinear> pack_dense(const Quantized& quantized, const Encoding& input, Threads& threads) {
  return std::make_unique<Dense>(quantized, &input.plain() == &float_input() ? input : float_input(), threads);
}
std::unique_ptr<Linear> make_stored_float(const StoredMatrix& matrix, Threads& threads) {
  return std::make_unique<StoredFloat>(matrix, threads);
}

}  // namespace bitkerf
