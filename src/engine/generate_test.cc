#include <gtest/gtest.h>

#include "engine/generate.h"

namespace bitkerf {
namespace {

// What is shown after each piece, the rest after "|".
std::string shown(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopFilter filter(stops);
  std::string all;
  for (const std::string& piece : pieces) all += filter.add(piece) + ",";
  return all + "|" + filter.finish() + (filter.stopped() ? "!" : "");
}

TEST(StopFilter, CutsBeforeAStopStringThatSpansPieces) {
  EXPECT_EQ(shown({"END"}, {"a", "bE", "N", "Dc", "d"}), "a,b,,,,|!");
  EXPECT_EQ(shown({"END"}, {"aENDb"}), "a,|!");
  EXPECT_EQ(shown({"END", "b"}, {"aENb"}), "aEN,|!");
  EXPECT_EQ(shown({"aab"}, {"a", "a", "a", "b"}), ",,a,,|!");
}

TEST(StopFilter, ShowsWhatTurnsOutToBeNoStopString) {
  EXPECT_EQ(shown({"END"}, {"E", "N", "d"}), ",,ENd,|");
  EXPECT_EQ(shown({"END"}, {"E", "N"}), ",,|EN");
  EXPECT_EQ(shown({"\n\n"}, {"a\n", "b"}), "a,\nb,|");
  EXPECT_EQ(shown({}, {"a", "b"}), "a,b,|");
  EXPECT_EQ(shown({""}, {"a", "b"}), "a,b,|");
}

}  // namespace
}  // namespace bitkerf
