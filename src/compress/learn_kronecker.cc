#include "compress/learn_kronecker.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "transforms/hadamard.h"
#include "transforms/kronecker.h"

namespace bitkerf {
namespace {

blasint as_int(i64 n) { return static_cast<blasint>(n); }
float* data(OwnedMatrix<float>& m) { return m.view().data; }

// Rows in blocks that do not depend on the number of threads: BLAS sums differently for other numbers of rows.
template <class Use>
void for_blocks(i64 rows, Threads& threads, Use&& use) {
  constexpr i64 kRows = 64;
  threads.split(ceil_div(rows, kRows), [&](i64 first, i64 last) {
    for (i64 b = first; b < last; b++) use(b * kRows, std::min(rows, (b + 1) * kRows));
  });
}

// y (rows, cols) = a (rows, inner) b (cols, inner)^T or b (inner, cols)
void multiply(const float* a, const float* b, float* y, i64 rows, i64 inner, i64 cols, bool transposed, Threads& threads) {
  for_blocks(rows, threads, [&](i64 first, i64 last) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, as_int(last - first), as_int(cols), as_int(inner), 1, a + first * inner,
                as_int(inner), b, as_int(transposed ? inner : cols), 0, y + first * cols, as_int(cols));
  });
}
// y (rows, cols) = a (inner, rows)^T b (inner, cols)
void multiply_across(const float* a, const float* b, float* y, i64 rows, i64 inner, i64 cols, Threads& threads) {
  for_blocks(rows, threads, [&](i64 first, i64 last) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, as_int(last - first), as_int(cols), as_int(inner), 1, a + first, as_int(rows), b, as_int(cols), 0,
                y + first * cols, as_int(cols));
  });
}

// Rows as matrices (n1, n2): y = A^T x B for each, A (n1, n1), B (n2, n2).
void turn(Matrix<const float> x, const float* a, const float* b, i64 n1, i64 n2, Matrix<float> y, Threads& threads) {
  threads.split(x.rows, [&](i64 first, i64 last) {
    std::vector<float> half(static_cast<std::size_t>(n1 * n2));
    for (i64 r = first; r < last; r++) {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, as_int(n1), as_int(n2), as_int(n2), 1, x.row(r), as_int(n2), b, as_int(n2), 0, half.data(), as_int(n2));
      cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, as_int(n1), as_int(n2), as_int(n1), 1, a, as_int(n1), half.data(), as_int(n2), 0, y.row(r), as_int(n2));
    }
  });
}

// Derivatives for y = A^T x B of every row: of x in `gx`, and of A and B added to ga (n1, n1) and gb (n2, n2). Rows in fixed blocks,
// whose sums are added in order.
void turn_back(Matrix<const float> x, const float* a, const float* b, Matrix<const float> gy, i64 n1, i64 n2, Matrix<float> gx, std::vector<double>& ga,
               std::vector<double>& gb, Threads& threads) {
  constexpr i64 kBlock = 64;
  const i64 blocks = ceil_div(x.rows, kBlock);
  OwnedMatrix<float> sum_a(blocks, n1 * n1), sum_b(blocks, n2 * n2);
  threads.split(blocks, [&](i64 first, i64 last) {
    std::vector<float> ax(static_cast<std::size_t>(n1 * n2)), gb_t(ax.size());
    for (i64 block = first; block < last; block++)
      for (i64 r = block * kBlock; r < std::min(x.rows, (block + 1) * kBlock); r++) {
        auto gemm = [&](CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, i64 m, i64 n, i64 k, const float* p, i64 lp, const float* q, i64 lq, float beta, float* y) {
          cblas_sgemm(CblasRowMajor, ta, tb, as_int(m), as_int(n), as_int(k), 1, p, as_int(lp), q, as_int(lq), beta, y, as_int(n));
        };
        gemm(CblasTrans, CblasNoTrans, n1, n2, n1, a, n1, x.row(r), n2, 0, ax.data());                       // A^T x
        gemm(CblasTrans, CblasNoTrans, n2, n2, n1, ax.data(), n2, gy.row(r), n2, 1, sum_b.view().row(block));  // (A^T x)^T g
        gemm(CblasNoTrans, CblasTrans, n1, n2, n2, gy.row(r), n2, b, n2, 0, gb_t.data());                     // g B^T
        gemm(CblasNoTrans, CblasTrans, n1, n1, n2, x.row(r), n2, gb_t.data(), n2, 1, sum_a.view().row(block));  // x (g B^T)^T
        gemm(CblasNoTrans, CblasNoTrans, n1, n2, n1, a, n1, gb_t.data(), n2, 0, gx.row(r));                    // A g B^T
      }
  });
  for (i64 block = 0; block < blocks; block++) {
    for (i64 i = 0; i < n1 * n1; i++) ga[static_cast<std::size_t>(i)] += sum_a(block, i);
    for (i64 i = 0; i < n2 * n2; i++) gb[static_cast<std::size_t>(i)] += sum_b(block, i);
  }
}

// Rows rounded to integers times a scale per group, the largest over the top code.
void round_rows(Matrix<const float> v, i64 group, int bits, Matrix<float> out, Threads& threads) {
  const float top = static_cast<float>((1 << (bits - 1)) - 1);
  threads.split(v.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++)
      for (i64 g = 0; g < v.cols; g += group) {
        float largest = 0;
        for (i64 c = g; c < g + group; c++) largest = std::max(largest, std::fabs(v(r, c)));
        const float scale = largest / top;
        for (i64 c = g; c < g + group; c++) out(r, c) = largest > 0 ? std::nearbyint(v(r, c) / scale) * scale : 0;
      }
  });
}
// Derivatives behind round_rows() in front of it, in place: codes pass them straight through; the scale follows the largest value.
void round_back(Matrix<const float> v, Matrix<const float> rounded, i64 group, int bits, Matrix<float> g, Threads& threads) {
  const float top = static_cast<float>((1 << (bits - 1)) - 1);
  threads.split(v.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++)
      for (i64 at = 0; at < v.cols; at += group) {
        i64 most = at;
        for (i64 c = at; c < at + group; c++)
          if (std::fabs(v(r, c)) > std::fabs(v(r, most))) most = c;
        const float scale = std::fabs(v(r, most)) / top;
        if (!(scale > 0)) continue;
        float of_scale = 0;
        for (i64 c = at; c < at + group; c++) of_scale += g(r, c) * (rounded(r, c) - v(r, c)) / scale;
        g(r, most) += std::copysign(of_scale / top, v(r, most));
      }
  });
}

// dL/dP of L(P^-1): -Q^T g Q^T, Q = P^-1, g = dL/dQ.
std::vector<double> through_inverse(const std::vector<double>& q, const std::vector<double>& g, i64 n) {
  std::vector<double> half(q.size()), out(q.size());
  auto at = [n](i64 r, i64 c) { return static_cast<std::size_t>(r * n + c); };
  for (i64 r = 0; r < n; r++)
    for (i64 k = 0; k < n; k++)
      for (i64 c = 0; c < n; c++) half[at(r, c)] += q[at(k, r)] * g[at(k, c)];
  for (i64 r = 0; r < n; r++)
    for (i64 c = 0; c < n; c++)
      for (i64 k = 0; k < n; k++) out[at(r, c)] -= half[at(r, k)] * q[at(c, k)];
  return out;
}

}  // namespace

double kronecker_loss(Matrix<const float> x, Matrix<const float> w, Matrix<const float> target, const std::vector<float>& parameters,
                      const KroneckerTraining& training, Threads& threads, std::vector<float>& gradient) {
  const i64 n = x.cols, n1 = Kronecker::rows_of(n), n2 = n / n1, tokens = x.rows, rows = w.rows;
  const float *p1 = parameters.data() + n, *p2 = p1 + n1 * n1;
  std::vector<double> q1 = inverse_of(std::vector<double>(p1, p1 + n1 * n1), n1), q2 = inverse_of(std::vector<double>(p2, p2 + n2 * n2), n2);
  if (q1.empty() || q2.empty()) return INFINITY;
  // Weights are turned as A^T w B with A = P1^-T and B = P2^-T.
  std::vector<float> a(q1.size()), b(q2.size());
  for (i64 r = 0; r < n1; r++)
    for (i64 c = 0; c < n1; c++) a[static_cast<std::size_t>(c * n1 + r)] = static_cast<float>(q1[static_cast<std::size_t>(r * n1 + c)]);
  for (i64 r = 0; r < n2; r++)
    for (i64 c = 0; c < n2; c++) b[static_cast<std::size_t>(c * n2 + r)] = static_cast<float>(q2[static_cast<std::size_t>(r * n2 + c)]);
  OwnedMatrix<float> xs(tokens, n), ws(rows, n), xt(tokens, n), wt(rows, n), xq(tokens, n), wq(rows, n), error(tokens, rows);
  std::vector<float> d, inverse_d;
  for (i64 c = 0; c < n; c++) d.push_back(std::exp(parameters[static_cast<std::size_t>(c)])), inverse_d.push_back(1 / d.back());
  auto scale = [&](Matrix<const float> from, const std::vector<float>& by, Matrix<float> to) {
    threads.split(from.rows, [&](i64 first, i64 last) {
      for (i64 r = first; r < last; r++)
        for (i64 c = 0; c < n; c++) to(r, c) = from(r, c) * by[static_cast<std::size_t>(c)];
    });
  };
  scale(x, d, xs.view());
  scale(w, inverse_d, ws.view());
  turn(xs.view(), p1, p2, n1, n2, xt.view(), threads);
  turn(ws.view(), a.data(), b.data(), n1, n2, wt.view(), threads);
  const i64 group = training.weight_group > 0 && n % training.weight_group == 0 ? training.weight_group : n;
  auto copy = [&](OwnedMatrix<float>& from, OwnedMatrix<float>& to) { std::copy_n(data(from), from.rows() * n, data(to)); };
  if (training.rounds) {
    round_rows(xt.view(), n, training.bits, xq.view(), threads);
    round_rows(wt.view(), group, training.bits, wq.view(), threads);
  } else {
    copy(xt, xq);
    copy(wt, wq);
  }
  multiply(data(xq), data(wq), data(error), tokens, n, rows, true, threads);
  double loss = 0, size = 0;
  for (i64 t = 0; t < tokens; t++)
    for (i64 r = 0; r < rows; r++) {
      error(t, r) -= target(t, r);
      loss += double{error(t, r)} * error(t, r), size += double{target(t, r)} * target(t, r);
    }
  const float factor = static_cast<float>(2 / std::max(size, 1e-30));
  for (i64 t = 0; t < tokens; t++)
    for (i64 r = 0; r < rows; r++) error(t, r) *= factor;
  OwnedMatrix<float> gx(tokens, n), gw(rows, n);
  multiply(data(error), data(wq), data(gx), tokens, rows, n, false, threads);
  multiply_across(data(error), data(xq), data(gw), rows, tokens, n, threads);
  if (training.rounds) {
    round_back(xt.view(), xq.view(), n, training.bits, gx.view(), threads);
    round_back(wt.view(), wq.view(), group, training.bits, gw.view(), threads);
  }
  std::vector<double> g1(q1.size()), g2(q2.size()), ga(q1.size()), gb(q2.size());
  OwnedMatrix<float> gxs(tokens, n), gws(rows, n);
  turn_back(xs.view(), p1, p2, gx.view(), n1, n2, gxs.view(), g1, g2, threads);
  turn_back(ws.view(), a.data(), b.data(), gw.view(), n1, n2, gws.view(), ga, gb, threads);
  // A and B are transposed inverses.
  auto transpose = [](const std::vector<double>& m, i64 k) {
    std::vector<double> t(m.size());
    for (i64 r = 0; r < k; r++)
      for (i64 c = 0; c < k; c++) t[static_cast<std::size_t>(c * k + r)] = m[static_cast<std::size_t>(r * k + c)];
    return t;
  };
  std::vector<double> more1 = through_inverse(q1, transpose(ga, n1), n1), more2 = through_inverse(q2, transpose(gb, n2), n2);
  gradient.assign(parameters.size(), 0);
  for (i64 c = 0; c < n; c++) {
    double sum = 0;
    for (i64 t = 0; t < tokens; t++) sum += double{gxs(t, c)} * xs(t, c);
    for (i64 r = 0; r < rows; r++) sum -= double{gws(r, c)} * ws(r, c);
    gradient[static_cast<std::size_t>(c)] = static_cast<float>(sum);
  }
  for (std::size_t i = 0; i < g1.size(); i++) gradient[static_cast<std::size_t>(n) + i] = static_cast<float>(g1[i] + more1[i]);
  for (std::size_t i = 0; i < g2.size(); i++) gradient[static_cast<std::size_t>(n) + g1.size() + i] = static_cast<float>(g2[i] + more2[i]);
  return loss / std::max(size, 1e-30);
}

std::vector<float> learn_kronecker(Matrix<const float> x, Matrix<const float> w, const KroneckerTraining& training, Threads& threads, std::vector<double>* losses) {
  const i64 n = x.cols, n1 = Kronecker::rows_of(n), n2 = n / n1;
  openblas_set_num_threads(1);  // `threads` share the work out
  OwnedMatrix<float> target(x.rows, w.rows);
  threads.split(x.rows, [&](i64 first, i64 last) {
    for (i64 t = first; t < last; t++)
      cblas_sgemv(CblasRowMajor, CblasNoTrans, as_int(w.rows), as_int(n), 1, w.data, as_int(w.stride), x.row(t), 1, 0, target.view().row(t), 1);
  });
  // From Hadamard matrices (or the identity) of both sizes, which spread outliers already.
  std::vector<float> p(static_cast<std::size_t>(n), 0.0f);
  for (i64 k : {n1, n2})
    for (i64 r = 0; r < k; r++) {
      std::vector<float> row(static_cast<std::size_t>(k));
      row[static_cast<std::size_t>(r)] = 1;
      if (Hadamard::fits(k)) transform_of(transform("hadamard"), k).input(chosen_isa(), row.data(), row.data());
      p.insert(p.end(), row.begin(), row.end());
    }
  std::vector<float> gradient, best = p, mean(p.size()), square(p.size());
  double least = INFINITY;
  for (int step = 0; step <= training.steps; step++) {
    const double loss = kronecker_loss(x, w, target.view(), p, training, threads, gradient);
    if (losses) losses->push_back(loss);
    if (loss < least) least = loss, best = p;
    if (step == training.steps || !std::isfinite(loss)) break;
    const float rate = training.rate * static_cast<float>(0.5 * (1 + std::cos(std::numbers::pi * step / training.steps)));
    for (std::size_t i = 0; i < p.size(); i++) {
      mean[i] = 0.9f * mean[i] + 0.1f * gradient[i];
      square[i] = 0.99f * square[i] + 0.01f * gradient[i] * gradient[i];
      const float m = mean[i] / static_cast<float>(1 - std::pow(0.9, step + 1)), s = square[i] / static_cast<float>(1 - std::pow(0.99, step + 1));
      p[i] -= rate * m / (std::sqrt(s) + 1e-12f);
    }
  }
  for (i64 c = 0; c < n; c++) best[static_cast<std::size_t>(c)] = std::exp(best[static_cast<std::size_t>(c)]);
  return best;
}

}  // namespace bitkerf
