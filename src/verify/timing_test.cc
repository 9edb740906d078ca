#include "verify/timing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

namespace bitkerf {
namespace {

TwoTimes made_up(double mean_b, double deviation_b, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> a(100, 3), b(mean_b, deviation_b);
  TwoTimes times;
  for (int i = 0; i < 20000; i++) {
    times.a.push_back(i % 50 == 0 ? 5000 : a(random));  // interrupts
    times.b.push_back(i % 50 == 1 ? 5000 : b(random));
  }
  return times;
}

TEST(Welch, TellsMeansAndDeviationsApart) {
  for (unsigned seed = 1; seed <= 20; seed++) {
    WelchT same = welch(made_up(100, 3, seed));
    EXPECT_LT(std::fabs(same.raw), kMostT) << seed;
    EXPECT_LT(std::fabs(same.squared), kMostT) << seed;
  }
  // Means a tenth of a tick apart: t = 0.1 / sqrt(2 * 9 / 20000), about 3.3; half a tick: 17.
  EXPECT_GT(std::fabs(welch(made_up(100.5, 3, 1)).raw), 10);
  EXPECT_GT(std::fabs(welch(made_up(100, 4, 1)).squared), 10);
}

// The controls alone: a machine on which they are not noticed can clear nothing.
TEST(Timing, ControlsAreNoticed) {
  const char* sweep = std::getenv("BITKERF_SWEEP");
  if (!sweep || std::string_view(sweep) != "full") GTEST_SKIP() << "asks for a quiet machine: ./check --all";
  TimingOptions options;
  options.runs = 1;
  options.filter = "no kernel";
  int controls = 0;
  for (const TimingCase& c : verify_timing(options, [](const TimingCase&) {})) {
    controls += c.control;
    EXPECT_TRUE(c.ok) << c.kernel << ": |t| = " << c.t;
  }
  EXPECT_GE(controls, 3);
}

}  // namespace
}  // namespace bitkerf
