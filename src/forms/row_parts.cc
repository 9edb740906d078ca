// A matrix whose rows lie in parts: multiply() takes its parts as if they were matrices of one input.
#include <algorithm>

#include <fmt/format.h>

#include "forms/linear.h"

namespace bitkerf {
namespace {

class RowParts final : public Linear {
 public:
  explicit RowParts(std::vector<std::unique_ptr<Linear>> parts) : parts_(std::move(parts)) {
    CHECK(!parts_.empty());
    shape_.cols = parts_[0]->shape().cols;
    for (const std::unique_ptr<Linear>& part : parts_) {
      CHECK_EQ(part->shape().cols, shape_.cols);
      first_.push_back(shape_.rows);
      shape_.rows += part->shape().rows;
    }
  }
  Shape shape() const override { return shape_; }
  i64 bytes() const override {
    i64 bytes = 0;
    for (const std::unique_ptr<Linear>& part : parts_) bytes += part->bytes();
    return bytes;
  }
  std::string describe() const override {
    std::string text;
    for (std::size_t i = 0; i < parts_.size(); i++)
      text += fmt::format("{}rows {}: {}", i == 0 ? "" : ", ", first_[i], parts_[i]->describe());
    return text;
  }
  std::span<const std::unique_ptr<Linear>> parts() const override { return parts_; }

  void apply(Matrix<const float> x, Matrix<float> y, Context& context) const noexcept override {
    Product product{this, y};
    multiply({&product, 1}, x, context);
  }
  i64 scratch(i64 tokens) const override {
    const Linear* self = this;
    return multiply_scratch({&self, 1}, tokens);
  }
  void expand(i64 first, Matrix<float> out) const noexcept override {
    for (i64 done = 0; done < out.rows;) {
      const auto i = static_cast<std::size_t>(std::upper_bound(first_.begin(), first_.end(), first + done) - first_.begin() - 1);
      const i64 at = first + done - first_[i], count = std::min(out.rows - done, parts_[i]->shape().rows - at);
      parts_[i]->expand(at, out.sub_rows(done, count));
      done += count;
    }
  }

 private:
  std::vector<std::unique_ptr<Linear>> parts_;
  std::vector<i64> first_;  // row of each part
  Shape shape_;
};

}  // namespace

std::unique_ptr<Linear> stack_rows(std::vector<std::unique_ptr<Linear>> parts) { return std::make_unique<RowParts>(std::move(parts)); }

}  // namespace bitkerf
