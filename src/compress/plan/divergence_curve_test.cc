#include "compress/plan/divergence_curve.h"

#include <gtest/gtest.h>

namespace bitkerf {
namespace {

TEST(DivergenceCurve, WithoutMeasurementsDivergenceIsHarm) {
  const DivergenceCurve none;
  for (double x : {0.0, 1e-9, 0.3, 7.0}) {
    EXPECT_EQ(none.of(x), x);
    EXPECT_EQ(none.harm(x), x);
  }
}

TEST(DivergenceCurve, OnePointIsAFactor) {
  const DivergenceCurve one({{0.1, 0.12}});
  for (double x : {1e-6, 0.05, 0.1, 2.0}) EXPECT_NEAR(one.of(x), 1.2 * x, 1e-12 * x);
  EXPECT_EQ(one.of(0), 0);
}

TEST(DivergenceCurve, GoesThroughItsPointsGrowsAndIsInverted) {
  const DivergenceCurve three({{0.1, 0.11}, {0.001, 0.005}, {0.01, 0.014}});
  EXPECT_NEAR(three.of(0.1), 0.11, 1e-12);
  EXPECT_NEAR(three.of(0.01), 0.014, 1e-12);
  EXPECT_NEAR(three.of(0.001), 0.005, 1e-12);
  EXPECT_NEAR(three.of(1), 1.1, 1e-12);         // the factor of the last
  EXPECT_NEAR(three.of(1e-7), 0.0005, 1e-12);   // the fourth root below the first
  double before = 0;
  for (double harm = 1e-7; harm < 3; harm *= 1.1) {
    const double divergence = three.of(harm);
    EXPECT_GT(divergence, before);
    EXPECT_NEAR(three.harm(divergence) / harm, 1, 1e-9);
    before = divergence;
  }
}

TEST(DivergenceCurve, MoreHarmIsNeverPredictedLess) {
  const DivergenceCurve odd({{0.1, 0.2}, {0.2, 0.1}, {0.2, 0.3}});
  EXPECT_NEAR(odd.of(0.1), 0.2, 1e-12);
  EXPECT_GT(odd.of(0.2), odd.of(0.1));
  EXPECT_NEAR(odd.harm(odd.of(0.15)), 0.15, 1e-9);
}

}  // namespace
}  // namespace bitkerf
