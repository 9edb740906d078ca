// Matrices made of others: rows in parts, or a sum of parts that have some of the columns each. multiply() takes the parts as
// if they were matrices of one input.
#include <algorithm>

#include <fmt/format.h>

#include "forms/packed.h"

namespace bitkerf {
namespace {

using Parts = std::vector<std::unique_ptr<Linear>>;

class MadeOfParts : public Linear {
 public:
  explicit MadeOfParts(Parts parts) : parts_(std::move(parts)) { CHECK(!parts_.empty()); }
  Shape shape() const final { return shape_; }
  i64 bytes() const final {
    i64 bytes = 0;
    for (const std::unique_ptr<Linear>& part : parts_) bytes += part->bytes();
    return bytes;
  }
  void apply(Matrix<const float> x, Matrix<float> y, Context& context) const noexcept final {
    Product product{this, y};
    multiply({&product, 1}, x, context);
  }
  i64 scratch(i64 tokens) const final {
    const Linear* self = this;
    return multiply_scratch({&self, 1}, tokens);
  }

 protected:
  Parts parts_;
  Shape shape_;
};

class RowParts final : public MadeOfParts {
 public:
  RowParts(Parts parts, std::vector<std::int32_t> order) : MadeOfParts(std::move(parts)), order_(std::move(order)) {
    shape_.cols = parts_[0]->shape().cols;
    for (const std::unique_ptr<Linear>& part : parts_) {
      CHECK_EQ(part->shape().cols, shape_.cols);
      first_.push_back(shape_.rows);
      shape_.rows += part->shape().rows;
    }
    if (order_.empty()) return;
    CHECK_EQ(static_cast<i64>(order_.size()), shape_.rows);
    place_.assign(order_.size(), -1);
    for (std::size_t i = 0; i < order_.size(); i++) {
      CHECK(order_[i] >= 0 && order_[i] < shape_.rows && place_[static_cast<std::size_t>(order_[i])] == -1);
      place_[static_cast<std::size_t>(order_[i])] = static_cast<i64>(i);
    }
  }
  std::string describe() const override {
    std::string text;
    for (std::size_t i = 0; i < parts_.size(); i++)
      text += order_.empty() ? fmt::format("{}rows {}: {}", i == 0 ? "" : ", ", first_[i], parts_[i]->describe())
                             : fmt::format("{}{} rows: {}", i == 0 ? "" : ", ", parts_[i]->shape().rows, parts_[i]->describe());
    return text;
  }
  std::span<const std::unique_ptr<Linear>> parts() const override { return parts_; }
  std::span<const std::int32_t> row_order() const override { return order_; }

  void expand(i64 first, Matrix<float> out) const noexcept override {
    for (i64 done = 0; done < out.rows;) {
      const i64 row = order_.empty() ? first + done : place_[static_cast<std::size_t>(first + done)];
      const auto i = static_cast<std::size_t>(std::upper_bound(first_.begin(), first_.end(), row) - first_.begin() - 1);
      const i64 at = row - first_[i], count = order_.empty() ? std::min(out.rows - done, parts_[i]->shape().rows - at) : 1;
      parts_[i]->expand(at, out.sub_rows(done, count));
      done += count;
    }
  }

 private:
  std::vector<i64> first_;             // row of each part
  std::vector<std::int32_t> order_;
  std::vector<i64> place_;             // its inverse
};

class ColumnParts final : public MadeOfParts {
 public:
  explicit ColumnParts(Parts parts) : MadeOfParts(std::move(parts)) {
    for (const std::unique_ptr<Linear>& part : parts_) {
      const auto* packed = dynamic_cast<const PackedLinear*>(part.get());
      CHECK(packed != nullptr);
      if (shape_.rows == 0) shape_ = {packed->shape().rows, packed->input_cols()};
      CHECK(packed->shape().rows == shape_.rows && packed->input_cols() == shape_.cols);
    }
  }
  std::string describe() const override {
    std::string text;
    for (const std::unique_ptr<Linear>& part : parts_)
      text += fmt::format("{}{} columns: {}", text.empty() ? "" : " + ", part->shape().cols, part->describe());
    return text;
  }
  std::span<const std::unique_ptr<Linear>> addends() const override { return parts_; }

  void expand(i64 first, Matrix<float> out) const noexcept override {
    parts_[0]->expand(first, out);
    OwnedMatrix<float> more(1, out.cols);
    for (std::size_t i = 1; i < parts_.size(); i++)
      for (i64 r = 0; r < out.rows; r++) {
        parts_[i]->expand(first + r, more.view());
        for (i64 c = 0; c < out.cols; c++) out(r, c) += more(0, c);
      }
  }
};

}  // namespace

std::unique_ptr<Linear> stack_rows(std::vector<std::unique_ptr<Linear>> parts, std::vector<std::int32_t> order) {
  return std::make_unique<RowParts>(std::move(parts), std::move(order));
}
std::unique_ptr<Linear> add_columns(std::vector<std::unique_ptr<Linear>> addends) { return std::make_unique<ColumnParts>(std::move(addends)); }

}  // namespace bitkerf
