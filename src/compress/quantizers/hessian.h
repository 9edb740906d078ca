// What a change of a row of weights costs: dW H dW^T, H = E[x x^T] of the matrix's input. Factored once for all matrices,
// formats and attempts that share an input.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <string_view>
#include <vector>

#include "compress/calibration/statistics.h"
#include "core/threads.h"

namespace bitkerf {

class Transform;

// In which order feedback rounding fixes columns. A column's error is made good by those after it, so what is fixed last
// should matter least.
enum class RoundingOrder {
  natural,     // from the last column to the first
  descending,  // the largest diag(H) first: GPTQ's "act order"
  pivot,       // backwards from the end: the last is the smallest diagonal, each before it has the smallest that is left
               // when those after it are projected out; O(n^3) of plain loops
};

// H + damping = P^T L D L^T P: position k of the factor is column order[k]; positions are fixed from the last to the first.
// With blocks of b columns (codes that stand for b weights) D has blocks and L is the identity inside them.
struct HessianFactor {
  i64 block = 1;
  double damping = 0;                // what was added to the diagonal
  std::vector<i64> order;            // (cols)
  OwnedMatrix<double> lower;         // (cols, cols) L, unit lower triangular
  OwnedMatrix<double> diagonal;      // (cols, block): D; row k holds row k of its block
};

class Hessian {
 public:
  // moment (cols, cols), symmetric.
  explicit Hessian(OwnedMatrix<float> moment) : moment_(std::move(moment)) {}
  // Of the inputs as the transform (may be null) makes them; statistics that know a diagonal alone give a diagonal H.
  Hessian(const InputStatistics& input, const Transform* transform, Threads& threads);

  i64 cols() const { return moment_.cols(); }
  Matrix<const float> moment() const { return moment_.view(); }
  // damping: relative to the mean of the diagonal; more is added where the matrix is still not positive definite. Kept, so
  // asking again costs nothing. May be called from several threads.
  const HessianFactor& factor(RoundingOrder order, double damping, i64 block) const;

 private:
  OwnedMatrix<float> moment_;
  mutable std::mutex mutex_;
  mutable std::map<std::tuple<RoundingOrder, double, i64>, std::unique_ptr<HessianFactor>> factors_;
};

// Of a tied embedding: as output head it has the moment of the final hidden states, scaled to a mean diagonal of 1; a fifth
// of the identity stands for its use as the table of inputs, where every error counts alike.
std::unique_ptr<Hessian> embedding_hessian(const InputStatistics& hidden, const Transform* transform, Threads& threads);

}  // namespace bitkerf
