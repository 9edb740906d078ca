// The contract between the framework (multiply.cc: loops, edges, threads, kernel choice) and the forms (which bytes,
// which kernels). A packed matrix is a row of panels; a panel holds 32 weight rows, two per 512-bit lane set of 16,
// so that outputs lie in lanes and no kernel needs a horizontal sum.
#pragma once

#include <span>

#include "core/buffer.h"
#include "forms/encoding.h"
#include "forms/linear.h"
#include "forms/tile_set.h"

namespace bitkerf {

inline constexpr i64 kPanelRows = 32;
// Columns that a prefill pass unpacks at a time: 32 rows x 1024 bytes of codes = 32 KiB, which leaves a third of a
// 48 KiB L1 cache for activations and scales. A multiple of every block length.
inline constexpr i64 kPassCols = 512;

// Kernels of one form, format and instruction set. They know no threads, edges, errors or models.
// `input` is what the matrix's encoding made of all `tokens` rows of x; `self` is the matrix's kernel_data().
struct PanelKernels {
  std::string_view name;  // what reads the packed bytes: "expand", "popcount", "lookup", "float"
  // y[0..32) = panel . x[token], streaming the panel once.
  void (*one)(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept;
  // Columns [first, first + count) of a panel in the form that `tile` reads, in `scratch` or where they lie.
  const void* (*unpack)(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept;
  i64 (*tile_bytes)(i64 count);  // of scratch, at most
  // Entry n: for n tokens [token, token + n), y rows of 32 floats; adds to y unless first == 0.
  // The float operations per output are those of `one`, in the same order.
  using Tile = TileKernel;
  Tile tile[kMaxTokens + 1];
  int max_tokens;
  // What `one` reads of a token besides its encoding (tables of sums), written into the input; nullptr: nothing. Called
  // once for all products of an input.
  void (*prepare)(const void* input, i64 token) noexcept = nullptr;
  // unpack is nullptr in kernels for one token only.
  bool takes(i64 tokens) const { return tokens == 1 || unpack; }
};

// What multiplies a matrix on an instruction set: all of them give the same bits.
struct KernelList {
  static constexpr int kMost = 4;
  const PanelKernels* rows[kMost] = {};
  int count = 0;
  KernelList() = default;
  KernelList(const PanelKernels& only) : rows{&only}, count(1) {}
  void add(const PanelKernels& kernels) { rows[count++] = &kernels; }
  std::span<const PanelKernels* const> all() const { return {rows, static_cast<std::size_t>(count)}; }
};

class PackedLinear : public Linear {
 public:
  // The first holds for every number of tokens.
  virtual KernelList kernels(Isa isa) const = 0;
  // The fastest for this many tokens.
  virtual const PanelKernels& choose(Isa isa, i64 tokens) const { return *kernels(isa).rows[0]; }
  const Encoding& input() const { return *input_; }
  virtual const void* kernel_data() const { return nullptr; }  // what kernels need to know besides the panel
  i64 panels() const { return ceil_div(shape_.rows, kPanelRows); }
  const std::byte* panel(i64 i) const { return bytes_ + i * panel_bytes_; }
  // All panels, as a file keeps them.
  std::span<const std::byte> packed_bytes() const { return {bytes_, static_cast<std::size_t>(panels() * panel_bytes_)}; }

  // Rows [first, first + out.rows) as panels hold them: the weights, or W T^-1 when the input is transformed by T.
  virtual void expand_stored(i64 first, Matrix<float> out) const noexcept = 0;

  Shape shape() const final { return shape_; }
  // Of the inputs that it multiplies: more than it has where its transform picks some of them.
  i64 input_cols() const { return input_->bound ? input_->bound_cols : shape_.cols; }
  void expand(i64 first, Matrix<float> out) const noexcept final;
  i64 bytes() const override { return panels() * panel_bytes_; }
  void apply(Matrix<const float> x, Matrix<float> y, Context& context) const noexcept final;
  i64 scratch(i64 tokens) const final;

 protected:
  PackedLinear(Shape shape, i64 panel_bytes, const Encoding& input) : PackedLinear(shape, panel_bytes, input, nullptr) {
    data_ = Buffer<std::byte>(panels() * panel_bytes, false);
    bytes_ = data_.data();
  }
  // Panels that lie elsewhere (a mapped file) and outlive this; 64-byte aligned.
  PackedLinear(Shape shape, i64 panel_bytes, const Encoding& input, const std::byte* bytes)
      : shape_(shape), panel_bytes_(panel_bytes), input_(&input),
        transform_(input.transform_for(input.bound ? input.bound_cols : shape.cols)), isa_(chosen_isa()), bytes_(bytes) {}
  std::byte* writable_panel(i64 i) { return data_.data() + i * panel_bytes_; }

 private:
  Shape shape_;
  i64 panel_bytes_;
  const Encoding* input_;
  const Transform* transform_;  // of the input, or nullptr
  Isa isa_;                     // that expand() uses
  Buffer<std::byte> data_;
  const std::byte* bytes_;
};

}  // namespace bitkerf
