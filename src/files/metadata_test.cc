#include "files/metadata.h"

#include <cmath>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "core/error.h"

namespace bitkerf {
namespace {

TEST(Metadata, EveryIntegerTypeIsReadWhereItFits) {
  Metadata m("f");
  m.set("a", std::uint8_t{200});
  m.set("b", std::int64_t{-5});
  m.set("c", std::uint64_t{1} << 40);
  EXPECT_EQ(m.integer("a", 0, 255), 200);
  EXPECT_EQ(m.integer("b", -10, 0), -5);
  EXPECT_EQ(m.integer("c", 0, INT64_MAX), i64{1} << 40);
  EXPECT_EQ(m.integer("absent", 1, 2, 7), 7);
  EXPECT_EQ(m.number("a", 0, 1e9), 200.0);
  EXPECT_EQ(m.integers("a"), std::vector<i64>{200});
  EXPECT_EQ(m.integers("absent"), std::nullopt);
}

TEST(Metadata, ArraysKeepTheirTypeAndAreConverted) {
  Metadata m("f");
  m.set("bools", MetadataArray(std::vector<bool>{true, false, true}));
  m.set("bytes", MetadataArray(std::vector<std::uint8_t>{1, 255}));
  m.set("floats", MetadataArray(std::vector<float>{0.5f, -1.0f}));
  m.set("texts", MetadataArray(std::vector<std::string>{"a", ""}));
  EXPECT_EQ(m.integers("bools"), (std::vector<i64>{1, 0, 1}));
  EXPECT_EQ(m.integers("bytes"), (std::vector<i64>{1, 255}));
  EXPECT_EQ(m.numbers("bytes"), (std::vector<double>{1, 255}));
  EXPECT_EQ(m.numbers("floats"), (std::vector<double>{0.5, -1}));
  EXPECT_EQ(m.texts("texts")->size(), 2u);
  EXPECT_EQ(m.texts("absent"), nullptr);
}

TEST(Metadata, RefusesWhatIsOfTheWrongTypeOrOutOfRange) {
  Metadata m("the file");
  m.set("zero", std::uint32_t{0});
  m.set("negative", std::int32_t{-1});
  m.set("huge", ~std::uint64_t{0});
  m.set("nan", std::nanf(""));
  m.set("infinite", std::numeric_limits<double>::infinity());
  m.set("half", 0.5f);
  m.set("true", true);
  m.set("text", std::string("x\n"));
  m.set("texts", MetadataArray(std::vector<std::string>{"a"}));
  m.set("nans", MetadataArray(std::vector<float>{0, std::nanf("")}));
  m.set("huges", MetadataArray(std::vector<std::uint64_t>{1, ~0ull}));
  struct Case { std::function<void()> get; const char* message; };
  Case cases[] = {
      {[&] { m.integer("zero", 1, 100); }, "key zero is 0, expected an integer from 1 to 100"},
      {[&] { m.integer("negative", 0, 100); }, "key negative is -1"},
      {[&] { m.integer("negative", 0, 100, 5); }, "key negative is -1"},
      {[&] { m.integer("huge", 0, INT64_MAX); }, "key huge is 18446744073709551615"},
      {[&] { m.integer("half", 0, 100); }, "key half is 0.5, expected an integer"},
      {[&] { m.integer("true", 0, 100); }, "key true is true, expected an integer"},
      {[&] { m.integer("text", 0, 100); }, "key text is the text 'x\\x0a'"},
      {[&] { m.integer("texts", 0, 100); }, "key texts is an array of 1"},
      {[&] { m.integer("absent", 0, 100); }, "key absent is missing, expected an integer from 0 to 100"},
      {[&] { m.number("nan", -1, 1); }, "key nan is nan, expected a number"},
      {[&] { m.number("nan", -1, 1, 0.5); }, "key nan is nan"},
      {[&] { m.number("infinite", 0, HUGE_VAL); }, "key infinite is inf"},
      {[&] { m.number("half", 1, 2); }, "key half is 0.5, expected a number from 1 to 2"},
      {[&] { m.number("true", 0, 2); }, "key true is true"},
      {[&] { m.number("absent", 0, 2); }, "key absent is missing"},
      {[&] { m.boolean("zero", false); }, "key zero is 0, expected true or false"},
      {[&] { m.text("true"); }, "key true is true, expected a text"},
      {[&] { m.text("absent"); }, "key absent is missing, expected a text"},
      {[&] { m.text("zero", "otherwise"); }, "key zero is 0"},
      {[&] { m.texts("text"); }, "expected an array of texts"},
      {[&] { m.texts("nans"); }, "expected an array of texts"},
      {[&] { m.integers("nans"); }, "expected an array of integers"},
      {[&] { m.integers("huges"); }, "an element of key huges is 18446744073709551615"},
      {[&] { m.integers("half"); }, "key half is 0.5"},
      {[&] { m.numbers("nans"); }, "element 1 of key nans is nan"},
      {[&] { m.numbers("texts"); }, "expected an array of numbers"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.message);
    try {
      c.get();
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::file);
      EXPECT_NE(std::string_view(error.what()).find(c.message), std::string_view::npos) << error.what();
      EXPECT_TRUE(std::string_view(error.what()).starts_with("the file: "));
    }
  }
}

}  // namespace
}  // namespace bitkerf
