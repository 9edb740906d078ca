#include "compress/quantizers/feedback.h"
#include "compress/quantizers/descent.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace bitkerf {
namespace {

OwnedMatrix<float> normal(i64 rows, i64 cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  OwnedMatrix<float> w(rows, cols);
  for (float& v : std::span(w.view().data, static_cast<std::size_t>(rows * cols))) v = 0.02f * normal(random);
  return w;
}

// Of inputs that are mixtures of few directions with unequal sizes, as those of layers are.
Hessian correlated(i64 cols, unsigned seed) {
  i64 tokens = 3 * cols;
  OwnedMatrix<float> source = normal(tokens, cols, seed), mix = normal(cols, cols, seed + 1), moment(cols, cols);
  std::vector<double> x(static_cast<std::size_t>(cols)), sum(static_cast<std::size_t>(cols * cols));
  for (i64 t = 0; t < tokens; t++) {
    for (i64 c = 0; c < cols; c++) {
      double v = source(t, c);
      for (i64 k = 0; k < cols / 4; k++) v += 3.0 * source(t, k) * mix(k, c) * 50;
      x[static_cast<std::size_t>(c)] = v * (1 + static_cast<double>(c % 7));
    }
    for (std::size_t a = 0; a < x.size(); a++)
      for (std::size_t b = 0; b < x.size(); b++) sum[a * x.size() + b] += x[a] * x[b];
  }
  for (i64 i = 0; i < cols * cols; i++) moment.view().data[i] = static_cast<float>(sum[static_cast<std::size_t>(i)] / static_cast<double>(tokens));
  return Hessian(std::move(moment));
}

double error_of(Matrix<const float> weights, const Quantized& q, Matrix<const float> h, double damping, i64 row) {
  double sum = 0;
  for (i64 a = 0; a < h.cols; a++)
    for (i64 b = 0; b < h.cols; b++)
      sum += (double{weights(row, a)} - q.weight(row, a)) * (h(a, b) + (a == b ? damping : 0)) * (double{weights(row, b)} - q.weight(row, b));
  return sum;
}

// GPTQ as Frantar et al. (2023) have it, column after column in `order`: from the upper Cholesky factor of the inverse.
OwnedMatrix<std::uint16_t> textbook(Matrix<const float> weights, const Quantized& scales, Matrix<const float> h, double damping,
                                    const std::vector<i64>& order) {
  auto n = static_cast<std::size_t>(h.cols);
  auto matrix = [&] { return std::vector<std::vector<double>>(n, std::vector<double>(n)); };
  auto a = matrix(), inverse = matrix(), u = matrix();
  for (std::size_t i = 0; i < n; i++) {
    for (std::size_t j = 0; j < n; j++) a[i][j] = h(order[i], order[j]) + (i == j ? damping : 0);
    inverse[i][i] = 1;
  }
  for (std::size_t k = 0; k < n; k++) {  // Gauss and Jordan
    double pivot = a[k][k];
    for (std::size_t j = 0; j < n; j++) a[k][j] /= pivot, inverse[k][j] /= pivot;
    for (std::size_t i = 0; i < n; i++) {
      if (i == k) continue;
      double factor = a[i][k];
      for (std::size_t j = 0; j < n; j++) a[i][j] -= factor * a[k][j], inverse[i][j] -= factor * inverse[k][j];
    }
  }
  for (std::size_t i = 0; i < n; i++)  // inverse = U^T U
    for (std::size_t j = i; j < n; j++) {
      double sum = inverse[i][j];
      for (std::size_t k = 0; k < i; k++) sum -= u[k][i] * u[k][j];
      u[i][j] = j == i ? std::sqrt(sum) : sum / u[i][i];
    }
  OwnedMatrix<std::uint16_t> codes(weights.rows, weights.cols);
  const NumberFormat& format = scales.format;
  for (i64 r = 0; r < weights.rows; r++) {
    std::vector<double> w(n);
    for (std::size_t i = 0; i < n; i++) w[i] = weights(r, order[i]);
    for (std::size_t i = 0; i < n; i++) {
      i64 g = format.group_of(order[i]);
      double scale = scales.scales(r, g), minimum = format.has_minimum ? scales.minima(r, g) : 0;
      double place = std::clamp(std::nearbyint((w[i] - minimum) / scale - format.grid.first()), 0.0, format.grid.levels() - 1.0);
      codes(r, order[i]) = static_cast<std::uint16_t>(place);
      float value = static_cast<float>(scale) * static_cast<float>(format.grid.first() + place) + static_cast<float>(minimum);
      double error = (w[i] - value) / u[i][i];
      for (std::size_t j = i + 1; j < n; j++) w[j] -= error * u[i][j];
    }
  }
  return codes;
}

TEST(Feedback, GivesTheIntegersOfTextbookGptq) {
  Threads threads(2);
  OwnedMatrix<float> w = normal(70, 150, 1);
  Hessian h = correlated(150, 2);
  std::vector<float> importance(150, 1.0f);
  for (const char* name : {"int4.g64", "int3.g32", "uint3.g64", "int2.row", "int8.g32"}) {
    Quantized scales = search_scales(w.view(), parse_number_format(name), importance, threads);
    for (RoundingOrder order : {RoundingOrder::natural, RoundingOrder::descending, RoundingOrder::pivot}) {
      const HessianFactor& f = h.factor(order, 0.01, 1);
      std::vector<i64> front_to_back(f.order.rbegin(), f.order.rend());
      FeedbackResult result = round_with_feedback(w.view(), scales, f, threads);
      OwnedMatrix<std::uint16_t> expected = textbook(w.view(), scales, h.moment(), f.damping, front_to_back);
      i64 different = 0;
      for (i64 r = 0; r < w.rows(); r++)
        for (i64 c = 0; c < w.cols(); c++) different += result.quantized.codes(r, c) != expected(r, c);
      EXPECT_EQ(different, 0) << name;
    }
  }
}

TEST(Feedback, ErrorIsTheSumOfSquaresAndWithinTheBound) {
  Threads threads(2);
  OwnedMatrix<float> w = normal(60, 96, 3);
  Hessian h = correlated(96, 4);
  for (const char* name : {"int4.g32", "uint4.g32", "int8.row", "nf4.g32", "cb8d2", "e8p2"}) {
    NumberFormat format = parse_number_format(name);
    FeedbackResult result = quantize_with_feedback(w.view(), format, h, {}, threads);
    const HessianFactor& f = h.factor(RoundingOrder::descending, 0.01, format.grid.dimension());
    double ratio = 0;
    i64 inside = 0;
    for (i64 r = 0; r < w.rows(); r++) {
      auto row = static_cast<std::size_t>(r);
      double error = error_of(w.view(), result.quantized, h.moment(), f.damping, r), plain = error_of(w.view(), result.quantized, h.moment(), 0, r);
      EXPECT_NEAR(result.row_damped[row], error, 1e-9 * error) << name;
      EXPECT_NEAR(result.row_error[row], plain, 1e-9 * error) << name;
      if (result.row_clipped[row] > 0 || result.row_bound[row] == 0) continue;
      EXPECT_LE(result.row_damped[row], result.row_bound[row]) << name;
      ratio += result.row_damped[row] / result.row_bound[row];
      inside++;
    }
    if (format.name.starts_with("int8")) {
      ASSERT_GT(inside, 20);
      EXPECT_GT(ratio / static_cast<double>(inside), 0.2);
      EXPECT_LT(ratio / static_cast<double>(inside), 0.4);
    }
  }
}

TEST(Feedback, BeatsRoundingToNearestAndSecondSearchesHelp) {
  Threads threads(2);
  OwnedMatrix<float> w = normal(50, 128, 5);
  Hessian h = correlated(128, 6);
  for (const char* name : {"int3.g64", "uint2.g64", "nf4.g64", "cb8d2", "e8p2", "int4.u8.g32", "uint4.u8.g32", "int4.b32x32", "nvfp4"}) {
    NumberFormat format = parse_number_format(name);
    FeedbackResult once = quantize_with_feedback(w.view(), format, h, {.searches = 1}, threads);
    FeedbackResult twice = quantize_with_feedback(w.view(), format, h, {.searches = 2}, threads);
    Quantized plain = search_scales(w.view(), format, std::vector<float>(128, 1.0f), threads);
    Hessian identity(OwnedMatrix<float>(128, 128));
    plain = round_with_feedback(w.view(), plain, identity.factor(RoundingOrder::natural, 1, format.grid.dimension()), threads).quantized;
    double a = 0, b = 0, c = 0;
    for (i64 r = 0; r < w.rows(); r++) {
      a += error_of(w.view(), plain, h.moment(), 0, r);
      b += once.row_error[static_cast<std::size_t>(r)];
      c += twice.row_error[static_cast<std::size_t>(r)];
    }
    EXPECT_LT(b, 0.8 * a) << name;
    EXPECT_LE(c, 1.001 * b) << name;
  }
}

// With all beginnings kept the search is exhaustive where a level lies between its neighbours: no codes have less error.
TEST(Feedback, BeamFindsLessErrorAndNeverMore) {
  Threads threads(2);
  OwnedMatrix<float> w = normal(50, 130, 11);
  Hessian h = correlated(130, 12);
  for (const char* name : {"int2.row", "int3.g64", "uint2.g64", "normal3.u8.g64", "bipolar2.u8.g64"}) {
    NumberFormat format = parse_number_format(name);
    double sum[3] = {};
    for (int i = 0; i < 3; i++) {
      FeedbackResult result = quantize_with_feedback(w.view(), format, h, {.beam = 1 << (2 * i)}, threads);
      const HessianFactor& f = h.factor(RoundingOrder::descending, 0.01, 1);
      for (i64 r = 0; r < w.rows(); r++) {
        const auto row = static_cast<std::size_t>(r);
        double error = error_of(w.view(), result.quantized, h.moment(), f.damping, r), plain = error_of(w.view(), result.quantized, h.moment(), 0, r);
        EXPECT_NEAR(result.row_damped[row], error, 1e-9 * error) << name;
        EXPECT_NEAR(result.row_error[row], plain, 1e-9 * error) << name;
        sum[i] += result.row_damped[row];
      }
    }
    EXPECT_LT(sum[1], 0.99 * sum[0]) << name;
    EXPECT_LT(sum[2], sum[1]) << name;
  }
  // Six columns of two levels each side: every code is tried.
  OwnedMatrix<float> few = normal(20, 6, 13);
  Hessian small = correlated(6, 14);
  NumberFormat format = parse_number_format("bipolar1.row");
  FeedbackResult best = quantize_with_feedback(few.view(), format, small, {.beam = 48}, threads);
  const HessianFactor& f = small.factor(RoundingOrder::descending, 0.01, 1);
  for (i64 r = 0; r < few.rows(); r++) {
    Quantized tried = quantize_with_feedback(few.view(), format, small, {.beam = 48}, threads).quantized;
    double least = INFINITY;
    for (unsigned codes = 0; codes < 64; codes++) {
      for (i64 c = 0; c < 6; c++) tried.codes(r, c) = codes >> c & 1;
      least = std::min(least, error_of(few.view(), tried, small.moment(), f.damping, r));
    }
    EXPECT_NEAR(best.row_damped[static_cast<std::size_t>(r)], least, 1e-6 * least);
  }
}

TEST(Feedback, DescentLowersErrorsAndKnowsThem) {
  Threads threads(2);
  OwnedMatrix<float> w = normal(50, 136, 15);
  Hessian h = correlated(136, 16);
  for (const char* name : {"bipolar2.u8.g64", "uint3.g64", "normal3.u8.row", "normal6d2.u8.row", "normal8d2.g64", "e8p2.u8.row"}) {
    NumberFormat format = parse_number_format(name);
    FeedbackResult loop = quantize_with_feedback(w.view(), format, h, {.searches = 1}, threads);
    FeedbackResult moved = quantize_with_feedback(w.view(), format, h, {.searches = 1, .sweeps = 8}, threads);
    const HessianFactor& f = h.factor(RoundingOrder::descending, 0.01, format.grid.dimension());
    double a = 0, b = 0;
    for (i64 r = 0; r < w.rows(); r++) {
      auto row = static_cast<std::size_t>(r);
      EXPECT_LE(moved.row_damped[row], loop.row_damped[row]) << name;
      double error = error_of(w.view(), moved.quantized, h.moment(), f.damping, r);
      EXPECT_NEAR(moved.row_damped[row], error, 1e-4 * error) << name;
      a += loop.row_damped[row], b += moved.row_damped[row];
    }
    EXPECT_LT(b, 0.99 * a) << name;
    // At rest: another descent moves nothing.
    std::vector<double> fall(50);
    descend({w.view(), h.moment(), f.damping, 100}, moved.quantized, fall, threads);
    descend({w.view(), h.moment(), f.damping, 1}, moved.quantized, fall, threads);
    for (double v : fall) EXPECT_GT(v, -1e-4) << name;
  }
}

TEST(Feedback, SameBitsForAnyThreads) {
  Threads one(1), three(3);
  OwnedMatrix<float> w = normal(200, 130, 7);
  Hessian h = correlated(130, 8);
  for (const char* name : {"uint3.g64", "cb8d2.g64"}) {
    FeedbackResult a = quantize_with_feedback(w.view(), parse_number_format(name), h, {.beam = 4, .sweeps = 4}, one);
    FeedbackResult b = quantize_with_feedback(w.view(), parse_number_format(name), h, {.beam = 4, .sweeps = 4}, three);
    EXPECT_EQ(a.row_error, b.row_error);
    for (i64 r = 0; r < w.rows(); r++)
      for (i64 c = 0; c < a.quantized.codes.cols(); c++) ASSERT_EQ(a.quantized.codes(r, c), b.quantized.codes(r, c));
  }
}

}  // namespace
}  // namespace bitkerf
