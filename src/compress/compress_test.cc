#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "compress/quantizers/round_to_nearest.h"
#include "compress/recipe.h"
#include "core/error.h"
#include "files/packed_tensors.h"

namespace bitkerf {
namespace {

std::string message_of(auto&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(RecipeBook, TheLastMatchingLineCounts) {
  RecipeBook book("*=rtn/int4.g64\n# a comment\nblk.*.attn_v = rtn/int8.row | bit_planes; token_embd = keep");
  EXPECT_EQ(book.of("blk.3.ffn_up").format, "int4.f16.g64");
  EXPECT_EQ(book.of("blk.3.attn_v").format, "int8.f16.row");
  EXPECT_EQ(book.of("blk.3.attn_v").form, "bit_planes");
  EXPECT_TRUE(book.of("token_embd").keep);
}

TEST(RecipeBook, SaysWhatIsWrong) {
  struct Case {
    const char *text, *part;
  };
  for (const Case& c : {Case{"", "empty"}, Case{"*", "PATTERN"}, Case{"*=foo/int4", "unknown quantizer 'foo'"},
                        Case{"*=rtn/int9", "unknown number format 'int9'"}, Case{"*=rtn/int4.g0", "group size"},
                        Case{"*=rtn/int4.f8", "unknown scale type 'f8'"}, Case{"*=rtn/int4 | nowhere", "unknown form"},
                        Case{"*=rtn/int4 | dense", "does not hold"}, Case{"*=rtn/int4|bit_planes|x", "expected"}})
    EXPECT_NE(message_of([&] { RecipeBook book(c.text); }).find(c.part), std::string::npos) << c.text;
}

// Every format: each weight takes a nearest level of its scale, and the search never does worse than the plain scale.
TEST(RoundToNearest, TakesTheNearestLevelOfEveryFormat) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  OwnedMatrix<float> w(3, 150);
  for (float& v : std::span(w.view().data, 450)) v = 0.02f * normal(random);
  for (const FormatRow& row : number_formats()) {
    NumberFormat format = parse_number_format(row.name);
    double errors[2];
    for (ScaleSearch search : {ScaleSearch::largest, ScaleSearch::squared_error}) {
      Quantized q = round_to_nearest(w.view(), format, search);
      double error = 0;
      for (i64 r = 0; r < 3; r++)
        for (i64 c = 0; c < 150; c++) {
          i64 g = format.group_of(c);
          double scale = double{q.scales(r, g)} * q.tensor_scale, minimum = format.has_minimum ? q.minima(r, g) : 0.0f;
          double least = INFINITY;
          for (int code = 0; code < format.grid.levels(); code++)
            least = std::min(least, std::fabs(scale * format.grid.value(code) + minimum - w(r, c)));
          double got = std::fabs(double{q.weight(r, c)} - w(r, c));
          ASSERT_LE(got, least + 1e-6) << row.name << ' ' << r << ' ' << c;
          error += got * got;
        }
      errors[search == ScaleSearch::squared_error] = error;
    }
    EXPECT_LE(errors[1], errors[0] * 1.0001) << row.name;
    if (format.grid.bits() >= 4) {
      EXPECT_LT(errors[1], 0.03 * 450 * 0.02 * 0.02) << row.name;
    }
  }
}

TEST(PackedTensors, AreReadBackAndChecked) {
  std::vector<PackedTensor> tensors = {{"a.weight", "a.weight", "bit_planes", "int4.f16.g64", {7, 64}, 0, 7, 1},
                                       {"b.weight.rows3", "b.weight", "bit_planes", "nvint4", {4, 32}, 3, 9, 0.5f}};
  Metadata good("file");
  set_packed_tensors(tensors, good);
  auto back = read_packed_tensors(good);
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[1].matrix, "b.weight");
  EXPECT_EQ(back[1].shape, (Shape{4, 32}));
  EXPECT_EQ(back[1].scale, 0.5f);
  EXPECT_TRUE(read_packed_tensors(Metadata("none")).empty());
  auto broken = [&](const char* key, MetadataValue value) {
    Metadata bad = good;
    bad.set(key, std::move(value));
    return message_of([&] { read_packed_tensors(bad); });
  };
  EXPECT_NE(broken("bitkerf.packed.form", MetadataArray(std::vector<std::string>{"x"})).find("has 1 entries"), std::string::npos);
  EXPECT_NE(broken("bitkerf.packed.rows", MetadataArray(std::vector<std::int64_t>{-1, 4})).find("is -1"), std::string::npos);
  EXPECT_NE(broken("bitkerf.packed.rows", MetadataArray(std::vector<std::int64_t>{7, 1 << 30})).find("rows 3 to"), std::string::npos);
  EXPECT_NE(broken("bitkerf.packed.scale", MetadataArray(std::vector<float>{1, NAN})).find("nan"), std::string::npos);
  EXPECT_NE(broken("bitkerf.packed.cols", std::string("x")), "");
}

}  // namespace
}  // namespace bitkerf
