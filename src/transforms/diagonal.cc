#include "transforms/diagonal.h"

#include <algorithm>
#include <cmath>

namespace bitkerf {

bool Diagonal::takes(i64 width, std::span<const float> factors) {
  if (static_cast<i64>(factors.size()) != width) return false;
  return std::all_of(factors.begin(), factors.end(), [](float d) { return d == 0 || (d > 0x1p-100f && d < 0x1p100f); });
}

Diagonal::Diagonal(std::span<const float> factors) : factors_(factors.begin(), factors.end()) {
  for (float d : factors) inverse_.push_back(d == 0 ? 0 : 1 / d);
}

void Diagonal::input(Isa, const float* x, float* y) const noexcept {
  const auto n = factors_.size();
  for (std::size_t i = 0; i < n; i++) y[i] = x[i] * factors_[i];
}

void Diagonal::weights(Isa, const float* x, float* y) const noexcept {
  const auto n = inverse_.size();
  for (std::size_t i = 0; i < n; i++) y[i] = x[i] * inverse_[i];
}

bool Columns::takes(i64 width, std::span<const float> columns) {
  float before = -1;
  for (float c : columns) {
    if (!(c > before && c < static_cast<float>(width)) || std::floor(c) != c) return false;
    before = c;
  }
  return !columns.empty();
}

Columns::Columns(i64 width, std::span<const float> columns) : width_(width) {
  for (float c : columns) columns_.push_back(static_cast<std::int32_t>(c));
}

// In ascending order, so that x and y may be the same.
void Columns::input(Isa, const float* x, float* y) const noexcept {
  for (std::size_t i = 0; i < columns_.size(); i++) y[i] = x[columns_[i]];
}

void Columns::original(Isa, const float* x, float* y) const noexcept {
  std::size_t left = columns_.size();
  for (i64 c = width_ - 1; c >= 0; c--) y[c] = left > 0 && columns_[left - 1] == c ? x[--left] : 0;
}

}  // namespace bitkerf
