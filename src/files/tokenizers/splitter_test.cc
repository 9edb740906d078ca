#include <gtest/gtest.h>

#include "core/error.h"
#include "files/tokenizers/pre_tokenizers.h"

namespace bitkerf {
namespace {

std::vector<std::string> split(std::vector<std::string_view> patterns, std::string_view text) {
  std::vector<Piece> pieces;
  Splitter(patterns, "test").split(text, pieces);
  std::vector<std::string> parts;
  for (const Piece& piece : pieces) parts.emplace_back(text.substr(piece.begin, piece.end - piece.begin));
  return parts;
}
using Parts = std::vector<std::string>;

TEST(Splitter, EveryPatternOfTheTableCoversTheText) {
  const std::string_view text =
      "The \xFF\xFE caf\xC3\xA9's 1234567 \n\n  x\xE2\x80\xA6\xE4\xBD\xA0\xE5\xA5\xBD!? \xF0\x9F\x98\x80 ";
  for (const PreTokenizer& row : pre_tokenizers()) {
    std::vector<Piece> pieces;
    Splitter(row.patterns, "test").split(text, pieces);
    std::uint32_t at = 0;
    for (const Piece& piece : pieces) {
      EXPECT_EQ(piece.begin, at) << row.name;
      EXPECT_LT(piece.begin, piece.end) << row.name;
      at = piece.end;
    }
    EXPECT_EQ(at, text.size()) << row.name;
  }
}

TEST(Splitter, AppliesPatternsInsideThePiecesOfTheOnesBefore) {
  EXPECT_EQ(split({"[0-9]", "[a-z]+"}, "ab1cd23"), (Parts{"ab", "1", "cd", "2", "3"}));
  EXPECT_EQ(split({"b", "a+$"}, "aabaa"), (Parts{"aa", "b", "aa"}));  // the end of a piece is an end
  EXPECT_EQ(split({kDigitsFromRight}, "x1234567y12"), (Parts{"x", "1", "234", "567", "y", "12"}));
  EXPECT_EQ(split({"(?=b)"}, "abab"), (Parts{"a", "ba", "b"}));       // matches of nothing cut
  EXPECT_EQ(split({}, "a b"), (Parts{"a b"}));
  EXPECT_EQ(split({"a"}, ""), Parts());
}

TEST(Splitter, KeepsBytesThatAreNotUtf8Apart) {
  EXPECT_EQ(split({"[a-z]+| "}, "a\xFF\xFE b\xC3"), (Parts{"a", "\xFF\xFE", " ", "b", "\xC3"}));
  EXPECT_EQ(split({"."}, "\xC3"), (Parts{"\xC3"}));
}

TEST(Splitter, WhiteSpaceIsUnicodes) {
  EXPECT_EQ(with_exact_white_space("[^\\s\\p{L}]\\s\\S[\\]s]"),
            "[^\\p{Z}\\x{9}-\\x{D}\\x{85}\\p{L}][\\p{Z}\\x{9}-\\x{D}\\x{85}][^\\p{Z}\\x{9}-\\x{D}\\x{85}][\\]s]");
  EXPECT_EQ(split({"\\s+"}, "a\u00A0\u3000b"), (Parts{"a", "\u00A0\u3000", "b"}));
  EXPECT_EQ(split({"\\s+"}, "a\u180Eb"), (Parts{"a\u180Eb"}));  // not white space since Unicode 6.3
}

TEST(Splitter, PatternsThatBacktrackWithoutEndAreRefused) {
  const std::string text(40, 'a');
  EXPECT_THROW(split({"(a|aa|a(?=a))+(b|c(?=d))"}, text + "x"), Error);
  EXPECT_THROW(split({"("}, "a"), Error);
}

}  // namespace
}  // namespace bitkerf
