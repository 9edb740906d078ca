#include "compress/learn_kronecker.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "transforms/kronecker.h"

namespace bitkerf {
namespace {

OwnedMatrix<float> normal(i64 rows, i64 cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  OwnedMatrix<float> m(rows, cols);
  for (i64 r = 0; r < rows; r++)
    for (i64 c = 0; c < cols; c++) m(r, c) = draw(random);
  return m;
}

// Without rounding the outputs are those of W x whatever the transform, so what inputs and weights add to every derivative cancels.
TEST(LearnKronecker, DerivativesOfInputsAndWeightsCancelWithoutRounding) {
  Threads threads(2);
  const i64 n = 48;
  OwnedMatrix<float> x = normal(40, n, 1), w = normal(30, n, 2), target = normal(40, 30, 3);
  std::vector<float> p(static_cast<std::size_t>(Kronecker::count(n))), gradient;
  std::mt19937 random(4);
  std::normal_distribution<float> draw;
  for (float& v : p) v = 0.3f * draw(random);
  for (i64 side = 0, at = n; side < 2; side++)
    for (i64 k = side == 0 ? 6 : 8, i = 0; i < k * k; i++, at++) p[static_cast<std::size_t>(at)] += i % (k + 1) == 0 ? 2.0f : 0.0f;
  KroneckerTraining training;
  training.rounds = false;
  const double loss = kronecker_loss(x.view(), w.view(), target.view(), p, training, threads, gradient);
  EXPECT_GT(loss, 1);
  for (std::size_t i = 0; i < gradient.size(); i++) EXPECT_NEAR(gradient[i], 0, 2e-4 * loss) << i;
  // And they are not just zero: with rounding they are of the size of the loss.
  training.rounds = true;
  kronecker_loss(x.view(), w.view(), target.view(), p, training, threads, gradient);
  double most = 0;
  for (float g : gradient) most = std::max(most, std::fabs(double{g}));
  EXPECT_GT(most, 1e-2);
}

TEST(LearnKronecker, LowersTheErrorOfRounding) {
  const i64 n = 96;
  OwnedMatrix<float> x = normal(64, n, 5), w = normal(48, n, 6);
  for (i64 t = 0; t < 64; t++) x(t, 7) = 40 + x(t, 7), x(t, 50) *= 20;
  std::vector<float> first;
  for (int count : {1, 3}) {
    Threads threads(count);
    std::vector<double> losses;
    std::vector<float> p = learn_kronecker(x.view(), w.view(), {.bits = 4, .weight_group = 32, .steps = 40}, threads, &losses);
    ASSERT_EQ(losses.size(), 41u);
    EXPECT_LT(*std::min_element(losses.begin(), losses.end()), 0.2 * losses[0]);
    EXPECT_TRUE(Kronecker::takes(n, p));
    if (first.empty()) first = p;
    EXPECT_EQ(first, p);  // whatever the number of threads
  }
}

}  // namespace
}  // namespace bitkerf
