// What rounding with feedback does to each matrix of a model, and how long a large one takes.
//   feedback_bench MODEL STATISTICS FORMAT [TRANSFORM]
// Per matrix: error (dW H dW^T with damping, summed over rows), as a part of its bound, sum of D_k s_k^2 / 4, over rows without
// clipped codes, those codes, the sum of D, which the bound follows, in three orders, and the error of beams of 4 and 16.
#include <algorithm>
#include <cstdio>
#include <random>

#include "compress/plan/matrices.h"
#include "compress/quantizers/feedback.h"
#include "core/cpu.h"
#include "core/error.h"
#include "measure/clock.h"
#include "transforms/transform.h"

using namespace bitkerf;

namespace {

double sum_of(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v;
  return sum;
}

double sum_of_pivots(const HessianFactor& factor) {
  double sum = 0;
  for (i64 k = 0; k < factor.lower.cols(); k++) sum += factor.diagonal(k, 0);
  return sum;
}

void look(const ModelMatrices& matrices, const ModelMatrix& matrix, const Statistics& statistics, const NumberFormat& format, const TransformRow* row,
          Threads& threads) {
  const InputStatistics* input = statistics.input_of(matrix.name);
  if (!input || input->diagonal_only() || matrix.is_embedding) return;
  const Transform* transform = row ? &transform_of(*row, matrix.shape.cols) : nullptr;
  OwnedMatrix<float> weights = matrices.weights(matrix.parts[0], threads);
  if (transform) transform_weights(*transform, weights.view(), threads);
  Hessian hessian(*input, transform, threads);
  FeedbackResult one = quantize_with_feedback(weights.view(), format, hessian, {}, threads);
  double inside = 0, bound = 0;
  i64 clipped = 0;
  for (std::size_t r = 0; r < one.row_damped.size(); r++) {
    clipped += one.row_clipped[r];
    if (one.row_clipped[r] == 0) inside += one.row_damped[r], bound += one.row_bound[r];
  }
  std::printf("%-20s error %.4e", matrix.name.c_str(), sum_of(one.row_damped));
  if (bound > 0) std::printf(", of bound %.3f", inside / bound);
  std::printf(", clipped %lld;", static_cast<long long>(clipped));
  if (format.grid.dimension() == 1) {
    const double natural = sum_of_pivots(hessian.factor(RoundingOrder::natural, 0.01, 1));
    std::printf(" sum of D %.4e natural, x %.3f descending, x %.3f pivot;", natural, sum_of_pivots(hessian.factor(RoundingOrder::descending, 0.01, 1)) / natural,
                sum_of_pivots(hessian.factor(RoundingOrder::pivot, 0.01, 1)) / natural);
    for (int beam : {4, 16})
      std::printf(" beam %d x %.4f", beam, sum_of(quantize_with_feedback(weights.view(), format, hessian, {.beam = beam}, threads).row_damped) / sum_of(one.row_damped));
  }
  std::printf("\n");
}

// 1536 x 1536, H of random inputs; everything from H to codes.
void time_large(Threads& threads) {
  constexpr i64 kSide = 1536;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  OwnedMatrix<float> weights(kSide, kSide), moment(kSide, kSide);
  for (i64 r = 0; r < kSide; r++)
    for (i64 c = 0; c < kSide; c++) weights(r, c) = normal(random), moment(r, c) = r == c ? 1 + static_cast<float>(r % 5) : 0.3f;
  for (int beam : {1, 4}) {
    OwnedMatrix<float> copy(kSide, kSide);
    std::copy_n(moment.view().data, kSide * kSide, copy.view().data);
    const Hessian own(std::move(copy));
    const double start = now();
    quantize_with_feedback(weights.view(), parse_number_format("int4.g64"), own, {.beam = beam}, threads);
    std::printf("1536 x 1536 as int4.g64, beam %d, %d threads: %.2f s with the factorization\n", beam, threads.count(), now() - start);
  }
}

}  // namespace

int main(int count, char** words) {
  Threads threads(cpu_info().cores);
  if (count < 4) {
    time_large(threads);
    return std::fprintf(stderr, "usage: feedback_bench MODEL STATISTICS FORMAT [TRANSFORM]\n"), count == 1 ? 0 : 2;
  }
  try {
    std::unique_ptr<ModelFile> file = open_model_file(words[1]);
    const Statistics statistics = load_statistics(words[2]);
    const ModelMatrices matrices(*file, threads);
    for (const ModelMatrix& matrix : matrices.list())
      look(matrices, matrix, statistics, parse_number_format(words[3]), count > 4 ? &transform(words[4]) : nullptr, threads);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "error: %s\n", error.what()), 1;
  }
}
