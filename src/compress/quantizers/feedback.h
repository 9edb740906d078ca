// Rounding with feedback: columns are fixed one after the other, each where the errors made so far want it.
//
//   H = L D L^T;  for k = last .. first:  t_k = w_k + sum over j > k of (w_j - v_j) L_jk,  v_k = nearest level to t_k
//
// GPTQ (front to back, from the Cholesky factor of the inverse) gives the same integers with the order reversed, and so
// does Babai's nearest plane on the lattice of H ("The Geometry of LLM Quantization", 2025); with D and L in blocks of 8
// and a lattice it is QuIP#'s LDLQ. The error of a row is exactly sum of D_k r_k^2, r = t - v, so without clipped codes it
// is at most sum of D_k s_k^2 / 4.
#pragma once

#include "compress/quantizers/hessian.h"
#include "core/threads.h"
#include "formats/number_format.h"

namespace bitkerf {

struct FeedbackResult {
  Quantized quantized;
  std::vector<double> row_error;  // (rows) dW H dW^T, H without damping
  std::vector<double> row_damped; // (rows) the same with damping: sum of D_k r_k^2
  std::vector<double> row_bound;  // (rows) on row_damped: sum of D_k s_k^2 / 4; of integer grids, else 0
  std::vector<i64> row_clipped;   // (rows) codes beyond the ends of the grid
  std::vector<float> targets;     // (rows x cols) t, where asked for
};

// Codes for weights (rows, cols) on the scales, minima and tables of `scales`, whose codes do not matter.
FeedbackResult round_with_feedback(Matrix<const float> weights, const Quantized& scales, const HessianFactor& factor, Threads& threads,
                                   bool want_targets = false);

// Looks for codes of less error than `result` has on the same scales, keeping `width` beginnings of every row (beam.cc), and
// takes them for the rows where there are. Points, row tables and shared rows stay as they are. Time: some `width` times that
// of round_with_feedback.
void improve_with_beam(Matrix<const float> weights, const HessianFactor& factor, int width, Threads& threads, FeedbackResult& result);

struct FeedbackOptions {
  RoundingOrder order = RoundingOrder::descending;
  double damping = 0.01;
  int searches = 2;  // of scales; from the second on by the targets of the loop before, and kept for the rows that it helps
  int beam = 1;      // then improve_with_beam()
  int sweeps = 0;    // of descend() after the loop
};
// GPTQ for any format: scales that a search weighted by the Hessian's diagonal finds, fixed before rounding.
FeedbackResult quantize_with_feedback(Matrix<const float> weights, const NumberFormat& format, const Hessian& hessian,
                                      const FeedbackOptions& options, Threads& threads);

// Scales and minima of least sum of importance[c] (w - level)^2 in every group, as the format stores them; codes are not
// set. Formats of shared rows, tables of their own or a tensor's scale: those of round_to_nearest.
Quantized search_scales(Matrix<const float> weights, const NumberFormat& format, std::span<const float> importance, Threads& threads);

}  // namespace bitkerf
