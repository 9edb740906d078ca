#include "models/prune.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/error.h"

namespace bitkerf {
namespace {

TEST(Prune, ReadsSteps) {
  std::vector<PruneStep> steps = parse_prune_steps("keep=0.8@4,keep=1@6,keep=0.5@12");
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].keep, 0.8);
  EXPECT_EQ(steps[0].layer, 4);
  EXPECT_EQ(steps[1].layer, 12);
  EXPECT_TRUE(parse_prune_steps("keep=1@3").empty());
  for (const char* wrong : {"", "0.8", "keep=0.8", "keep=0@4", "keep=1.5@4", "keep=0.8@", "keep=0.8@-1", "keep=0.8@4x", "keep=0.8@4,", "keep=nan@4",
                            "keep=0.8@4,keep=0.5@4", "keep=0.8@4,keep=0.5@2", "keep=@4"})
    EXPECT_THROW(parse_prune_steps(wrong), Error) << wrong;
}

TEST(Prune, KeepsWhatReceivesTheMostAndBothEnds) {
  std::mt19937 random(1);
  for (i64 tokens : {1, 63, 64, 100, 333})
    for (double keep : {0.05, 0.5, 0.8, 1.0})
      for (bool begins : {false, true}) {
        std::vector<float> received(static_cast<std::size_t>(tokens));
        for (float& r : received) r = static_cast<float>(random() % 50);  // ties among them
        std::vector<i64> kept(received.size());
        const i64 count = choose_kept(received.data(), tokens, keep, begins, kept.data());
        kept.resize(static_cast<std::size_t>(count));
        if (tokens < kLeastPruned) {
          EXPECT_EQ(count, tokens);
          continue;
        }
        const i64 first = begins ? kFirstKept : 0;
        EXPECT_EQ(count, std::max(first + kLastKept, static_cast<i64>(keep * static_cast<double>(tokens) + 0.5)));
        EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
        std::vector<bool> in(received.size());
        for (i64 t : kept) {
          ASSERT_FALSE(in[static_cast<std::size_t>(t)]);
          in[static_cast<std::size_t>(t)] = true;
        }
        float worst_kept = 1e9f, best_dropped = -1;
        for (i64 t = 0; t < tokens; t++) {
          const bool must = t < first || t >= tokens - kLastKept;
          EXPECT_TRUE(!must || in[static_cast<std::size_t>(t)]);
          if (must) continue;
          if (in[static_cast<std::size_t>(t)]) worst_kept = std::min(worst_kept, received[static_cast<std::size_t>(t)]);
          else best_dropped = std::max(best_dropped, received[static_cast<std::size_t>(t)]);
        }
        EXPECT_GE(worst_kept, best_dropped);
      }
}

}  // namespace
}  // namespace bitkerf
