// What a set of products reads, encoded row by row by whoever makes the rows (a norm, a gate), while a row is in its
// cache: no pass and no join of its own, and rows that no product reads as floats are never written as such.
#pragma once

#include "forms/encoding.h"
#include "forms/linear.h"
#include "forms/packed.h"

namespace bitkerf {

class ProductInput {
 public:
  // Rows of `tokens` tokens for these readers, which have one number of columns. `memory`: scratch() bytes, 64-byte
  // aligned, that live as long as this.
  ProductInput(std::span<const Linear* const> readers, i64 tokens, Context& context, void* memory) noexcept;
  static i64 scratch(std::span<const Linear* const> readers, i64 tokens, int threads);

  i64 tokens() const { return tokens_; }
  i64 cols() const { return cols_; }
  // Where worker `worker` writes row t; valid until it asks for the next.
  float* row(int worker, i64 t) const noexcept { return floats_.data ? floats_.row(t) : rows_ + worker * row_floats(cols_); }
  // Row t has been written.
  void done(int worker, i64 t) const noexcept {
    Matrix<const float> every_row{row(worker, t), t + 1, cols_, 0};  // stride 0: row t is this one
    const auto count = static_cast<std::size_t>(count_);
    encode_token({encodings_, count}, {memories_, count}, isa_, every_row, t);
  }
  // What the kernels of a matrix with this encoding get as input.
  const void* of(const Encoding& encoding) const noexcept;

 private:
  static i64 row_floats(i64 cols) { return round_up<i64>(cols, 16) + 16; }

  i64 count_ = 0;  // encodings
  const Encoding** encodings_;
  void** memories_;
  i64 tokens_, cols_;
  Isa isa_;
  Matrix<const float> read_floats_;
  Matrix<float> floats_;   // all rows, if a reader takes floats
  float* rows_ = nullptr;  // else one row for every worker
};

// Where the outputs of a packed part of a matrix go.
struct PartPlace {
  i64 first_row = 0;
  const std::int32_t* rows = nullptr;  // output i is row first_row + rows[i]; nullptr: row first_row + i
  bool adds = false;                   // to what the part before it gave, which has the same rows
};

// Every matrix that models see is packed, or made of parts that are: calls use(part, its place) until one answers true,
// and returns whether one did.
template <class Use>
bool for_packed(const Linear& linear, Use&& use, PartPlace place = {}) {
  if (auto* p = dynamic_cast<const PackedLinear*>(&linear)) return use(*p, place);
  CHECK(!linear.parts().empty() || !linear.addends().empty());
  for (const std::unique_ptr<Linear>& addend : linear.addends()) {
    if (for_packed(*addend, use, place)) return true;
    place.adds = true;
  }
  if (!linear.row_order().empty()) {
    CHECK(place.rows == nullptr);
    place.rows = linear.row_order().data();
  }
  for (const std::unique_ptr<Linear>& part : linear.parts()) {
    if (for_packed(*part, use, place)) return true;
    if (place.rows) place.rows += part->shape().rows;
    else place.first_row += part->shape().rows;
  }
  return false;
}

void multiply(std::span<const Product> products, const ProductInput& input, Context& context) noexcept;

}  // namespace bitkerf
