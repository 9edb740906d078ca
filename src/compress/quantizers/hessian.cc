#include "compress/quantizers/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <cblas.h>

#include "transforms/transform.h"

extern "C" void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);

namespace bitkerf {
namespace {

std::vector<i64> natural_order(i64 cols) {
  std::vector<i64> order(static_cast<std::size_t>(cols));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

// Whole blocks by the sum of their diagonals; a short last block is fixed last, where it needs no neighbours.
std::vector<i64> descending_order(Matrix<const float> h, i64 block) {
  i64 whole = h.cols / block;
  std::vector<double> size(static_cast<std::size_t>(whole));
  for (i64 c = 0; c < whole * block; c++) size[static_cast<std::size_t>(c / block)] += h(c, c);
  std::vector<i64> blocks = natural_order(whole);
  std::stable_sort(blocks.begin(), blocks.end(), [&](i64 a, i64 b) { return size[static_cast<std::size_t>(a)] < size[static_cast<std::size_t>(b)]; });
  std::vector<i64> order;
  for (i64 b : blocks)
    for (i64 i = 0; i < block; i++) order.push_back(b * block + i);
  for (i64 c = whole * block; c < h.cols; c++) order.push_back(c);
  return order;
}

// The last position to be fixed is 0; its D is H_00, that of each further one what is left after those before it.
std::vector<i64> pivot_order(Matrix<const float> h, double damping) {
  i64 n = h.cols;
  OwnedMatrix<double> rest(n, n);
  for (i64 r = 0; r < n; r++)
    for (i64 c = 0; c < n; c++) rest(r, c) = h(r, c) + (r == c ? damping : 0);
  std::vector<i64> order = natural_order(n);
  for (i64 k = 0; k < n; k++) {
    i64 best = k;
    for (i64 i = k + 1; i < n; i++)
      if (rest(i, i) < rest(best, best)) best = i;
    if (best != k) {
      std::swap(order[static_cast<std::size_t>(k)], order[static_cast<std::size_t>(best)]);
      for (i64 c = k; c < n; c++) std::swap(rest(k, c), rest(best, c));
      for (i64 r = k; r < n; r++) std::swap(rest(r, k), rest(r, best));
    }
    double pivot = rest(k, k);
    if (!(pivot > 0)) break;
    for (i64 r = k + 1; r < n; r++) {
      double factor = rest(r, k) / pivot;
      if (factor == 0) continue;
      const double* from = rest.view().row(k);
      double* to = rest.view().row(r);
      for (i64 c = k + 1; c < n; c++) to[c] -= factor * from[c];
    }
  }
  return order;
}

// H = C C^T, C lower triangular in row-major order.
bool cholesky(Matrix<const float> h, const std::vector<i64>& order, double damping, OwnedMatrix<double>& c) {
  int n = static_cast<int>(h.cols), info = 0;
  for (i64 r = 0; r < n; r++) {
    const float* row = h.row(order[static_cast<std::size_t>(r)]);
    for (i64 k = 0; k <= r; k++) c(r, k) = row[order[static_cast<std::size_t>(k)]];
    c(r, r) += damping;
  }
  dpotrf_("U", &n, c.view().data, &n, &info);  // LAPACK's upper triangle by columns is ours by rows
  if (info != 0) return false;
  // Rounding leaves nothing below this of a direction that the inputs do not have.
  for (i64 k = 0; k < n; k++)
    if (!(c(k, k) > 0)) return false;
  return true;
}

// C = L B, B the blocks of C's diagonal: L = C B^-1, and D = B B^T.
void split_blocks(HessianFactor& f) {
  i64 n = f.lower.rows(), b = f.block;
  f.diagonal = OwnedMatrix<double>(n, b);
  for (i64 first = 0; first < n; first += b) {
    i64 size = std::min(b, n - first);
    OwnedMatrix<double> own(size, size);
    for (i64 r = 0; r < size; r++)
      for (i64 c = 0; c <= r; c++) own(r, c) = f.lower(first + r, first + c);
    for (i64 r = 0; r < size; r++)
      for (i64 c = 0; c < size; c++) {
        double sum = 0;
        for (i64 i = 0; i <= std::min(r, c); i++) sum += own(r, i) * own(c, i);
        f.diagonal(first + r, c) = sum;
      }
    for (i64 r = first + size; r < n; r++)
      for (i64 c = size - 1; c >= 0; c--) {  // x B = row of C, from the back
        double sum = f.lower(r, first + c);
        for (i64 i = c + 1; i < size; i++) sum -= f.lower(r, first + i) * own(i, c);
        f.lower(r, first + c) = sum / own(c, c);
      }
    for (i64 r = 0; r < size; r++)
      for (i64 c = 0; c < n - first; c++) f.lower(first + r, first + c) = r == c ? 1 : 0;
  }
}

}  // namespace

Hessian::Hessian(const InputStatistics& input, const Transform* transform, Threads& threads) : moment_(input.cols(), input.cols()) {
  i64 n = input.cols();
  for (i64 r = 0; r < n; r++) {
    if (input.diagonal_only()) moment_(r, r) = input.square(r);
    else std::copy_n(input.moment.view().row(r), n, moment_.view().row(r));
  }
  if (transform) transform_moment(*transform, moment_.view(), threads);
}

std::unique_ptr<Hessian> embedding_hessian(const InputStatistics& hidden, const Transform* transform, Threads& threads) {
  Hessian own(hidden, transform, threads);
  i64 n = own.cols();
  double mean = 0;
  for (i64 c = 0; c < n; c++) mean += own.moment()(c, c) / static_cast<double>(n);
  OwnedMatrix<float> moment(n, n);
  for (i64 r = 0; r < n; r++)
    for (i64 c = 0; c < n; c++) moment(r, c) = static_cast<float>((mean > 0 ? own.moment()(r, c) / mean : 0) + (r == c ? 0.2 : 0));
  return std::make_unique<Hessian>(std::move(moment));
}

const HessianFactor& Hessian::factor(RoundingOrder order, double damping, i64 block) const {
  std::lock_guard lock(mutex_);
  std::unique_ptr<HessianFactor>& kept = factors_[{order, damping, block}];
  if (kept) return *kept;
  openblas_set_num_threads(1);
  i64 n = cols();
  double mean = 0;
  for (i64 c = 0; c < n; c++) mean += moment_(c, c) / static_cast<double>(n);
  if (!(mean > 0)) mean = 1;
  auto f = std::make_unique<HessianFactor>();
  f->block = block;
  f->lower = OwnedMatrix<double>(n, n);
  for (f->damping = damping * mean;; f->damping = std::max(10 * f->damping, 1e-6 * mean)) {
    f->order = order == RoundingOrder::natural                   ? natural_order(n)
               : order == RoundingOrder::pivot && block == 1     ? pivot_order(moment(), f->damping)
                                                                 : descending_order(moment(), block);
    if (cholesky(moment(), f->order, f->damping, f->lower)) break;
    CHECK(f->damping < 1e6 * mean);
  }
  split_blocks(*f);
  kept = std::move(f);
  return *kept;
}

}  // namespace bitkerf
