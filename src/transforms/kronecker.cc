#include "transforms/kronecker.h"

#include <algorithm>
#include <cmath>

#include "transforms/kronecker_kernels.h"

namespace bitkerf {
namespace {

constexpr KroneckerKernel kByIsa[] = {kronecker_portable, kronecker_avx2, kronecker_avx512};

// As `left` wants it: row i is column i of a; or its transpose.
std::vector<float> floats(std::span<const double> a, i64 n, bool transposed) {
  std::vector<float> out(a.size());
  for (i64 r = 0; r < n; r++)
    for (i64 c = 0; c < n; c++) out[static_cast<std::size_t>(r * n + c)] = static_cast<float>(a[static_cast<std::size_t>(transposed ? c * n + r : r * n + c)]);
  return out;
}
std::vector<double> doubles(std::span<const float> a) { return {a.begin(), a.end()}; }

}  // namespace

std::vector<double> inverse_of(std::span<const double> a, i64 n) {
  std::vector<double> m(a.begin(), a.end()), inverse(m.size());
  auto at = [n](std::vector<double>& v, i64 r, i64 c) -> double& { return v[static_cast<std::size_t>(r * n + c)]; };
  double largest = 0;
  for (double v : m) largest = std::max(largest, std::fabs(v));
  if (!std::isfinite(largest)) return {};
  for (i64 i = 0; i < n; i++) at(inverse, i, i) = 1;
  for (i64 k = 0; k < n; k++) {
    i64 best = k;
    for (i64 r = k + 1; r < n; r++)
      if (std::fabs(at(m, r, k)) > std::fabs(at(m, best, k))) best = r;
    if (!(std::fabs(at(m, best, k)) > 1e-6 * largest)) return {};
    for (i64 c = 0; c < n; c++) std::swap(at(m, k, c), at(m, best, c)), std::swap(at(inverse, k, c), at(inverse, best, c));
    const double pivot = at(m, k, k);
    for (i64 c = 0; c < n; c++) at(m, k, c) /= pivot, at(inverse, k, c) /= pivot;
    for (i64 r = 0; r < n; r++) {
      const double factor = at(m, r, k);
      if (r == k || factor == 0) continue;
      for (i64 c = 0; c < n; c++) at(m, r, c) -= factor * at(m, k, c), at(inverse, r, c) -= factor * at(inverse, k, c);
    }
  }
  return inverse;
}

i64 Kronecker::rows_of(i64 width) {
  i64 rows = 1;
  for (i64 i = 2; i * i <= width; i++)
    if (width % i == 0) rows = i;
  return rows;
}

bool Kronecker::takes(i64 width, std::span<const float> parameters) {
  const i64 n1 = rows_of(width), n2 = width / n1;
  if (static_cast<i64>(parameters.size()) != count(width)) return false;
  for (float d : parameters.first(static_cast<std::size_t>(width)))
    if (!(d > 0x1p-60f && d < 0x1p60f)) return false;
  return !inverse_of(doubles(parameters.subspan(static_cast<std::size_t>(width), static_cast<std::size_t>(n1 * n1))), n1).empty() &&
         !inverse_of(doubles(parameters.subspan(static_cast<std::size_t>(width + n1 * n1))), n2).empty();
}

Kronecker::Kronecker(i64 width, std::span<const float> parameters) : n1_(rows_of(width)), n2_(width / rows_of(width)) {
  d_.assign(parameters.begin(), parameters.begin() + width);
  for (float d : d_) inverse_d_.push_back(1 / d);
  std::vector<double> p1 = doubles(parameters.subspan(static_cast<std::size_t>(width), static_cast<std::size_t>(n1_ * n1_)));
  std::vector<double> p2 = doubles(parameters.subspan(static_cast<std::size_t>(width + n1_ * n1_)));
  std::vector<double> q1 = inverse_of(p1, n1_), q2 = inverse_of(p2, n2_);
  input_ = {floats(p1, n1_, false), floats(p2, n2_, false)};       // P1^T X P2
  weights_ = {floats(q1, n1_, true), floats(q2, n2_, true)};       // P1^-1 X P2^-T
  original_ = {floats(p1, n1_, true), floats(p2, n2_, true)};      // P1 X P2^T
}

void Kronecker::input(Isa isa, const float* x, float* y) const noexcept {
  kByIsa[static_cast<int>(isa)]({n1_, n2_, d_.data(), input_.left.data(), input_.right.data(), nullptr}, x, y);
}
void Kronecker::weights(Isa isa, const float* x, float* y) const noexcept {
  kByIsa[static_cast<int>(isa)]({n1_, n2_, inverse_d_.data(), weights_.left.data(), weights_.right.data(), nullptr}, x, y);
}
void Kronecker::original(Isa isa, const float* x, float* y) const noexcept {
  kByIsa[static_cast<int>(isa)]({n1_, n2_, nullptr, original_.left.data(), original_.right.data(), d_.data()}, x, y);
}

}  // namespace bitkerf
