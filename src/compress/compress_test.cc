#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include <fmt/format.h>

#include "compress/compare_formats.h"
#include "compress/quantizers/fit_grid.h"
#include "compress/recipe.h"
#include "core/error.h"
#include "core/float16.h"
#include "files/packed_tensors.h"
#include "formats/stored.h"

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

double grid_bits_per_weight(const NumberFormat& format) { return static_cast<double>(format.grid.bits()) / format.grid.dimension(); }

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
                        Case{"*=rtn/int4 | dense", "does not hold"}, Case{"*=rtn/int4|bit_planes|x", "expected"},
                        Case{"*=turn | rtn/int4", "unknown transform 'turn'"}, Case{"*=hadamard", "expected PATTERN"},
                        Case{"*=hadamard | keep", "unknown quantizer"}, Case{"*=hadamard | rtn/int4 | bit_planes | hadamard/int8.row", "first part"},
                        Case{"*[4:x]=rtn/int4", "range of rows"}, Case{"*[4:4]=rtn/int4", "holds no row"}, Case{"*[:4]=keep", "whole matrix"},
                        Case{"[0:4]=rtn/int4", "expected PATTERN"}})
    EXPECT_NE(message_of([&] { RecipeBook book(c.text); }).find(c.part), std::string::npos) << c.text << ": " << message_of([&] { RecipeBook book(c.text); });
}

// A plan file comes from outside. Its parser needs every form and quantizer, so it is not among the programs of cmake/fuzz.cmake; the
// sanitizers' builds run this.
TEST(RecipeBook, AnyBytesAreARecipeOrOneErrorOfUsage) {
  const std::string_view seeds[] = {
      "*=rtn/int4.g64\n# a comment\nblk.*.attn_v = rtn/int8.row | bit_planes; token_embd = keep",
      "blk.?.attn_q[0:10,12,40:] = hadamard | gptq/normal6d2.row | codebook | hadamard/int8.row\nblk.*.attn_q[10:12,13:40]=cross(0.15) | rtn/int8.u8.g32",
      "x=outlier(8)|rtn/int16.f32.row|fixed_point;blk.0.attn_q=smooth(.5) | rtn/bipolar2.f16.g192 | int_dot | int8.g32"};
  constexpr std::string_view pieces[] = {"[", "]", ":", ",", "=", "|", "/", ".g", "*", "?", "(", ")", "99999999999999999999", "-1", "\n", ";", "#", std::string_view("\0", 1), "\xff"};
  std::mt19937 random(5);
  auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  int recipes = 0, refused = 0;
  for (int i = 0; i < 30000; i++) {
    std::string text(seeds[below(std::size(seeds))]);
    for (std::size_t changes = below(4) + 1; changes > 0 && !text.empty(); changes--) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0: text[at] = static_cast<char>(below(256)); break;
        case 1: text.erase(at, below(8) + 1); break;
        case 2: text.insert(at, pieces[below(std::size(pieces))]); break;
        default: text.insert(at, text.substr(below(text.size()), below(24) + 1));
      }
    }
    try {
      const RecipeBook book(text);
      for (const RecipeSegment& segment : book.of("blk.0.attn_q", 64)) {
        i64 before = 0;
        for (const RowRange& range : segment.rows) {
          ASSERT_TRUE(before <= range.first && range.first < range.end && range.end <= 64) << text;
          before = range.end;
        }
        if (!segment.recipe->keep) ASSERT_EQ(RecipeBook("x=" + segment.recipe->text()).of("x").text(), segment.recipe->text()) << text;
      }
      recipes++;
    } catch (const Error& error) {
      ASSERT_EQ(error.fault(), Fault::usage) << text;
      ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << text << ": " << error.what();
      refused++;
    }
  }
  EXPECT_GT(recipes, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(RecipeBook, TransformsComeFirst) {
  RecipeBook book("*=hadamard | rtn/int4.g64 | bit_planes | int8.g32; token_embd=hadamard|rtn/int8.g64; output = hadamard | rtn/int16.f32.row | fixed_point");
  EXPECT_EQ(book.of("x").transform->name, "hadamard");
  EXPECT_EQ(book.of("x").input, "hadamard/int8.g32");
  EXPECT_EQ(book.of("x").text(), "hadamard | rtn/int4.f16.g64 | bit_planes | int8.g32");
  EXPECT_EQ(book.of("token_embd").input, "hadamard/int8.row");
  EXPECT_EQ(book.of("output").input, "hadamard/fixed15.row");
  for (const char* name : {"x", "token_embd", "output"})
    EXPECT_EQ(RecipeBook("y=" + book.of(name).text()).of("y").text(), book.of(name).text());
  EXPECT_EQ(RecipeBook("*=rtn/int4").of("x").transform, nullptr);
  RecipeBook rules("a=cross(0.3)|rtn/int8.row; b=smooth | rtn/int4.row | int_dot | int4.row; c = outlier (8) | rtn/int8.row");
  EXPECT_EQ(rules.of("a").text(), "cross(0.3) | rtn/int8.f16.row | bit_planes | int8.row");
  EXPECT_EQ(rules.of("b").text(), "smooth(0.5) | rtn/int4.f16.row | int_dot | int4.row");
  EXPECT_EQ(rules.of("a").input, "diagonal/int8.row");
  EXPECT_EQ(rules.of("c").argument, 8);
  for (const char* bad : {"*=cross(2) | rtn/int8", "*=cross(0.5 | rtn/int8", "*=cross(0.5)x | rtn/int8", "*=hadamard(1) | rtn/int8", "*=smooth() | rtn/int8"})
    EXPECT_NE(message_of([&] { RecipeBook book(bad); }).find("expected"), std::string::npos) << bad;
}

TEST(RecipeBook, RangesOfRows) {
  RecipeBook book("token_embd[7:]=rtn/int2;*=rtn/int4; blk.[01].up[0:10]=rtn/int3;token_embd[ : 20 ]=rtn/int6;token_embd[50:]=rtn/int2; token_embd[20:50]=rtn/int5;"
                  "blk.*.up[10:]=rtn/int2");
  auto rows_text = [](std::span<const RowRange> rows) {
    std::string text;
    for (RowRange range : rows) text += fmt::format("{}-{} ", range.first, range.end);
    return text;
  };
  auto text = [&](std::string_view matrix, i64 rows) {
    std::string all;
    for (const RecipeSegment& s : book.of(matrix, rows)) all += fmt::format("{}{}", rows_text(s.rows), s.recipe->format + " ");
    return all;
  };
  EXPECT_EQ(text("token_embd", 64), "0-20 int6.f16.g64 20-50 int5.f16.g64 50-64 int2.f16.g64 ");
  EXPECT_EQ(text("blk.1.up", 11), "0-10 int3.f16.g64 10-11 int2.f16.g64 ");
  EXPECT_EQ(text("other", 5), "0-5 int4.f16.g64 ");
  // Without a range after them, ranges count no more.
  EXPECT_EQ(RecipeBook("x[0:1]=rtn/int2; x=rtn/int3").of("x", 9).size(), 1u);
  auto wrong = [&](const char* recipe, const char* part) {
    std::string message = message_of([&] { RecipeBook(recipe).of("x", 64); });
    EXPECT_NE(message.find(part), std::string::npos) << recipe << ": " << message;
  };
  wrong("x[0:20]=rtn/int2", "'x', which has 64, must be in one range; row 20 is in none");
  wrong("x[1:]=rtn/int2", "row 0 is in none");
  wrong("x[0:20]=rtn/int2; x[19:]=rtn/int2", "row 19 is in two");
  wrong("x[0:20]=rtn/int2; x[20:65]=rtn/int2", "'x' has 64 rows, not 65");
  wrong("x[0:64]=rtn/int2; x[64:]=rtn/int2", "has 64 rows, not 65");
  wrong("x[:]=rtn/int2; x[:]=rtn/int3", "row 0 is in two");
  // Rows that lie apart.
  RecipeBook apart("x[:2,5,8:]=rtn/int6; x[2:5,6:8]=rtn/int2");
  std::vector<RecipeSegment> segments = apart.of("x", 10);
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_EQ(rows_text(segments[0].rows), "0-2 5-6 8-10 ");
  EXPECT_EQ(rows_text(segments[1].rows), "2-5 6-8 ");
  for (const char* bad : {"x[3,2:]=rtn/int2", "x[0:2,1]=rtn/int2", "x[:,3]=rtn/int2", "x[1,,2]=rtn/int2", "x[1,a]=rtn/int2"}) EXPECT_THROW(RecipeBook{bad}, Error) << bad;
}

OwnedMatrix<float> normal_weights(i64 rows, i64 cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  OwnedMatrix<float> w(rows, cols);
  for (float& v : std::span(w.view().data, static_cast<std::size_t>(rows * cols))) v = 0.02f * normal(random);
  return w;
}

constexpr const ScaleRule* kRules[] = {&scale_rules::largest, &scale_rules::ocp, &scale_rules::squared_error, &scale_rules::wide};

// Weights that were made of blocks of a file: the same weights come back where the format's scales are the file's, and
// nearly so where they are multiples of a row's.
TEST(RoundToNearest, KeepsTheSourcesOwnCodes) {
  std::mt19937 random(3);
  for (const char* name : {"Q4_0", "Q4_1"}) {
    const StoredType& type = *stored_type(std::string_view(name));
    std::vector<std::byte> blocks;
    for (int b = 0; b < 200; b++) {
      for (int i = 0; i < type.block_bytes; i++) blocks.push_back(static_cast<std::byte>(random()));
      for (int offset : type.scales) {
        if (offset < 0) continue;
        auto half = f32_to_f16((offset > 0 ? -0.1f : 0.01f) * static_cast<float>(1 + random() % 100) / 50);
        std::memcpy(&blocks[blocks.size() - static_cast<std::size_t>(type.block_bytes - offset)], &half, 2);
      }
    }
    OwnedMatrix<float> w(10, 640);
    type.dequantize(blocks.data(), 200, w.view().data);
    Quantized same = round_to_nearest(w.view(), parse_number_format("uint4.f16.g32"), scale_rules::own);
    for (i64 r = 0; r < 10; r++)
      for (i64 c = 0; c < 640; c++) ASSERT_NEAR(same.weight(r, c), w(r, c), std::fabs(same.minima(r, c / 32)) * 0x1p-22) << name << ' ' << r << ' ' << c;
    NumberFormat rows = parse_number_format("uint4.u8.g32");
    EXPECT_DOUBLE_EQ(rows.bits_per_weight(640), 4 + 16.0 / 32 + 32.0 / 640);
    Quantized rounded = round_to_nearest(w.view(), rows, scale_rules::own);
    // Half a step of a minimum, and half a step of a scale times the levels from the middle one.
    for (i64 r = 0; r < 10; r++)
      for (i64 c = 0; c < 640; c++)
        ASSERT_NEAR(rounded.weight(r, c), w(r, c), 1.001 * (rounded.row_scales(r, 1) / 256 + 7.5 * rounded.row_scales(r, 0) / 512)) << name;
    double kept = squared_error(w.view(), rounded);
    EXPECT_LT(kept, squared_error(w.view(), round_to_nearest(w.view(), rows, scale_rules::squared_error))) << name;
  }
  // No grid: as rtn.
  OwnedMatrix<float> w = normal_weights(3, 150, 2);
  for (const char* format : {"uint4.f16.g32", "int4.u8.g32", "nf4"})
    EXPECT_EQ(squared_error(w.view(), round_to_nearest(w.view(), parse_number_format(format), scale_rules::own)),
              squared_error(w.view(), round_to_nearest(w.view(), parse_number_format(format), scale_rules::squared_error)));
}

// Every format: each weight takes a nearest level of its scale, and the search never does worse than the plain scale.
TEST(RoundToNearest, TakesTheNearestLevelOfEveryFormat) {
  OwnedMatrix<float> w = normal_weights(3, 150, 1);
  for (const FormatRow& row : number_formats()) {
    NumberFormat format = parse_number_format(row.name);
    std::vector<double> errors;
    for (const ScaleRule* rule : kRules) {
      Quantized q = round_to_nearest(w.view(), format, *rule);
      ASSERT_TRUE(q.format.open_parameter.empty()) << row.name;
      ASSERT_EQ(parse_number_format(q.format.name).name, q.format.name);
      const Grid& grid = q.format.grid;
      if (grid.levels() <= 256 && grid.dimension() == 1 && !format.row_tables)
        for (i64 r = 0; r < 3; r++)
          for (i64 c = 0; c < 150; c++) {
            i64 g = format.group_of(c);
            double scale = double{q.scales(r, g)} * q.tensor_scale, minimum = format.has_minimum ? q.minima(r, g) : 0.0f;
            double least = INFINITY;
            for (int code = 0; code < grid.levels(); code++)
              least = std::min(least, std::fabs(scale * grid.value(code) + minimum - w(r, c)));
            double got = std::fabs(double{q.weight(r, c)} - w(r, c));
            ASSERT_LE(got, least + 1e-6) << row.name << ' ' << r << ' ' << c;
          }
      errors.push_back(squared_error(w.view(), q));
    }
    EXPECT_LE(errors[2], errors[0] * 1.0001) << row.name;
    double bits = grid_bits_per_weight(format);
    // Lattices and learned levels are better than this too.
    if (bits >= 4) {
      EXPECT_LT(errors[2], 0.03 * 450 * 0.02 * 0.02) << row.name;
    } else if (bits >= 2) {
      EXPECT_LT(errors[2], 0.35 * 450 * 0.02 * 0.02) << row.name;
    }
  }
}

TEST(RoundToNearest, BlocksOfRowsShareTheirScales) {
  OwnedMatrix<float> w = normal_weights(11, 70, 2);
  Threads threads(2);
  for (const char* spec : {"int4.b4x32", "uint3.b4x32", "nvfp4.b4x32", "cb8d2.b4x32", "e2m1.tensor"}) {
    NumberFormat format = parse_number_format(spec);
    Quantized q = round_to_nearest(w.view(), format, scale_rules::squared_error, &threads);
    Quantized alone = round_to_nearest(w.view(), format, scale_rules::squared_error);
    for (i64 r = 0; r < 11; r++)
      for (i64 g = 0; g < format.groups(70); g++) {
        EXPECT_EQ(q.scales(r, g), alone.scales(r, g));
        EXPECT_EQ(q.scales(r, g), q.scales(format.group_rows > 11 ? 0 : r / 4 * 4, g)) << spec;
      }
    EXPECT_NE(q.scales(0, 0), 0);
    EXPECT_LT(squared_error(w.view(), q), 0.2 * 770 * 0.02 * 0.02) << spec;
  }
}

// The exponent's search finds what a look at every 0.005 finds, and learned levels beat fixed ones.
TEST(FitGrid, FindsTheBestExponent) {
  OwnedMatrix<float> w = normal_weights(64, 256, 3);
  NumberFormat format = parse_number_format("pow4:a=auto.f32.row");
  double found = best_exponent(w.view(), format, scale_rules::largest, nullptr), best = 0, least = INFINITY;
  for (int i = 40; i <= 240; i++) {
    double error = squared_error(w.view(), round_to_nearest(w.view(), with_parameter(format, fmt::format("{:.3f}", i * 0.005)), scale_rules::largest));
    if (error < least) least = error, best = i * 0.005;
  }
  EXPECT_NEAR(found, best, 0.0101);
  EXPECT_EQ(round_to_nearest(w.view(), format, scale_rules::largest).format.name, fmt::format("pow4:a={:.3f}.f32.row", found));
}

// Mean squared errors on N(0, 1) with the best scale of each row. Power 0.8: 0.0119, 15 uniform levels: 0.0130 (NUPES'
// claim, computed independently); k-means reaches the Lloyd-Max bound of 16 levels, 0.0095, two weights at a time less.
TEST(FitGrid, ErrorsOnNormalValues) {
  OwnedMatrix<float> w = normal_weights(64, 4096, 4);
  auto error = [&](const char* spec) {
    Quantized q = round_to_nearest(w.view(), parse_number_format(spec), scale_rules::squared_error);
    return squared_error(w.view(), q) / (64 * 4096 * 0.02 * 0.02);
  };
  EXPECT_NEAR(error("mxint4.f32.tensor"), 0.0130, 0.0002);
  EXPECT_NEAR(error("pow4.f32.tensor"), 0.0119, 0.0002);
  EXPECT_NEAR(error("cb4.f32.tensor"), 0.0095, 0.0002);
  EXPECT_LT(error("cb4row"), 0.0098);
  EXPECT_NEAR(error("cb2.f32.tensor"), 0.1175, 0.001);
  EXPECT_LT(error("cb4d2.f32.tensor"), 0.1115);
  EXPECT_NEAR(error("e8p2"), 0.0915, 0.002);
}

// The simulation of INT v.s. FP (its section on crest factors; figures computed independently), in dB.
TEST(CompareFormats, SimulationOfIntAgainstFloat) {
  OwnedMatrix<float> normal = normal_values(1000, 1024, 1), laplace = laplace_values(1000, 1024, 1);
  Threads threads(2);
  auto check = [&](const OwnedMatrix<float>& values, const char* spec, double want) {
    EXPECT_NEAR(signal_to_noise(values.view(), round_to_nearest(values.view(), parse_number_format(spec), scale_rules::largest, &threads)), want, 0.2) << spec;
  };
  check(normal, "mxint8", 41.6);
  check(normal, "mxfp8", 31.5);
  check(normal, "mxint4", 16.8);
  check(normal, "mxfp4", 18.8);
  check(normal, "nvint4", 21.3);
  check(normal, "nvfp4", 20.5);
  check(laplace, "nvint4", 19.8);
  check(laplace, "nvfp4", 20.7);
  EXPECT_NEAR(crest_factors(normal.view(), 16).mean, 2.11, 0.02);
  EXPECT_NEAR(crest_factors(laplace.view(), 16).mean, 2.44, 0.02);
}

TEST(FitGrid, TakesTheBestSplit) {
  OwnedMatrix<float> w = normal_weights(8, 256, 5);
  Quantized q = round_to_nearest(w.view(), parse_number_format("fp4.f32.row"), scale_rules::wide);
  double got = squared_error(w.view(), q);
  for (const char* split : {"e1m2", "e2m1", "e3m0"})
    EXPECT_LE(got, 1.0001 * squared_error(w.view(), round_to_nearest(w.view(), parse_number_format(fmt::format("fp4:split={}.f32.row", split)), scale_rules::wide)));
}

TEST(PackedTensors, AreReadBackAndChecked) {
  std::vector<PackedTensor> tensors = {{"a.weight", "a.weight", "bit_planes", "int4.f16.g64", "int8.g64", {7, 64}, 0, 7, 1},
                                       {"b.weight.rows3", "b.weight", "bit_planes", "nvint4", "int8.g32", {4, 32}, 3, 9, 0.5f}};
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
