#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "core/error.h"
#include "formats/int8_levels.h"
#include "formats/lattice.h"
#include "formats/number_format.h"

namespace bitkerf {
namespace {

// Every format of dimension 1 against a look at all of its levels, in double.
TEST(Grid, TakesTheNearestLevel) {
  std::mt19937 random(1);
  for (const FormatRow& row : number_formats()) {
    Grid grid = row.grid();
    if (grid.dimension() > 1) continue;
    std::uniform_real_distribution<float> uniform(1.2f * grid.lowest() - 1e-3f, 1.2f * grid.highest() + 1e-3f);
    for (int i = 0; i < 200; i++) {
      float v = uniform(random);
      if (i % 4 == 0) v = grid.value(static_cast<int>(random() % static_cast<unsigned>(grid.levels())));
      double least = INFINITY;
      for (int code = 0; code < grid.levels(); code++) least = std::min(least, std::fabs(double{v} - grid.value(code)));
      ASSERT_EQ(std::fabs(double{v} - grid.value(grid.nearest(v))), least) << row.name << ' ' << v;
    }
  }
}

TEST(Grid, TiesGoToEven) {
  EXPECT_EQ(Grid::integers(-7, 7).nearest(0.5f), 7);   // 0, not 1
  EXPECT_EQ(Grid::integers(-7, 7).nearest(-1.5f), 5);  // -2
  Grid e2m1 = small_float_grid({2, 1});
  for (auto [value, level] : {std::pair{0.25f, 0.0f}, {0.75f, 1.0f}, {2.5f, 2.0f}, {3.5f, 4.0f}, {5.0f, 4.0f}})
    for (float sign : {1.0f, -1.0f}) EXPECT_EQ(e2m1.value(e2m1.nearest(sign * value)), sign * level);
  EXPECT_EQ(e2m1.nearest(-0.1f), 8);  // -0
  EXPECT_EQ(e2m1.nearest(0.1f), 0);
}

TEST(Grid, OfPoints) {
  Grid grid = Grid::points(2, {0, 0, 1, 2, -3, 4});
  EXPECT_EQ(grid.levels(), 3);
  EXPECT_EQ(grid.bits(), 2);
  EXPECT_EQ(grid.value(2, 1), 4);
  EXPECT_EQ(grid.lowest(), -3);
  EXPECT_EQ(grid.magnitude(), 4);
  const float point[] = {0.9f, 1.2f};
  EXPECT_EQ(grid.nearest(point), 1);
  EXPECT_EQ(grid.int8_step(), 1.0f);
  EXPECT_FALSE(grid.fits_shuffle());
  EXPECT_FALSE(grid.splits_into_bits());
}

// Which grids products in int8 are exact for, and which may be rounded to it.
// Cells of pairs answer as a look at all points does, inside and outside.
TEST(Grid, CellsOfPairsAreExact) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 50);
  for (const auto& [name, expected] : {std::pair{"normal5d2", 0.0576}, {"normal6d2", 0.0297}, {"normal7d2", 0.0155}, {"normal8d2", 0.0080}}) {
    const Grid grid = parse_number_format(name).grid;
    double error = 0;
    for (int i = 0; i < 20000; i++) {
      const float point[2] = {normal(random), normal(random)};
      auto distance = [&](int code) { return std::hypot(double{point[0]} - grid.value(code, 0), double{point[1]} - grid.value(code, 1)); };
      double least = INFINITY;
      for (int code = 0; code < grid.levels(); code++) least = std::min(least, distance(code));
      ASSERT_LE(distance(grid.nearest(point)), least + 1e-4) << name;
      const float fitting[2] = {point[0] / 50 * grid.rms(), point[1] / 50 * grid.rms()};
      const int code = grid.nearest(fitting);
      for (int j = 0; j < 2; j++) error += std::pow((fitting[j] - grid.value(code, j)) / grid.rms(), 2) / 40000;
    }
    EXPECT_NEAR(error, expected, 0.04 * expected) << name;
  }
}

TEST(Int8Levels, AreExactOrCheap) {
  for (const FormatRow& row : number_formats()) {
    Grid grid = row.grid();
    std::optional<Int8Levels> levels = int8_levels(grid);
    bool exact = grid.int8_step().has_value();
    if (exact && grid.levels() <= 256) {
      EXPECT_TRUE(levels) << row.name;
    }
    if (!levels) continue;
    EXPECT_EQ(levels->cost == 0, exact) << row.name;
    for (int code = 0; code < grid.levels(); code += std::max(1, grid.levels() / 300))
      for (int i = 0; i < grid.dimension(); i++)
        EXPECT_NEAR(levels->step * levels->values[static_cast<std::size_t>(code * grid.dimension() + i)], grid.value(code, i),
                    exact ? 0 : levels->step / 2 * 1.0001f)
            << row.name;
  }
  for (const char* rounded : {"nf4", "pow3", "pow4"}) EXPECT_GT(int8_levels(parse_number_format(rounded).grid)->cost, 0) << rounded;
  for (const char* not_int8 : {"e4m3", "e5m2", "pow8", "e3m2"}) EXPECT_FALSE(int8_levels(parse_number_format(not_int8).grid)) << not_int8;
}

TEST(E8p, Has65536PointsOfTheLattice) {
  const Grid& grid = e8p_grid();
  ASSERT_EQ(grid.levels(), 65536);
  EXPECT_EQ(grid.int8_step(), 0.25f);
  EXPECT_LE(grid.magnitude(), 2.75f);
  std::set<std::array<float, 8>> seen;
  for (int code = 0; code < 65536; code++) {
    std::array<float, 8> point;
    float sum = 0;
    for (int i = 0; i < 8; i++) {
      point[static_cast<std::size_t>(i)] = grid.value(code, i);
      float moved = grid.value(code, i) - (code >> 15 ? -0.25f : 0.25f);
      ASSERT_EQ(std::fabs(std::remainder(moved, 1.0f)), 0.5f);  // an odd multiple of 1/2
      sum += moved;
    }
    ASSERT_EQ(std::remainder(sum, 2.0f), 0) << code;
    seen.insert(point);
  }
  EXPECT_EQ(seen.size(), 65536u);
}

TEST(E8p, EncoderIsExact) {
  const Grid& grid = e8p_grid();
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0, 1.03f);
  for (int n = 0; n < 300; n++) {
    float x[8];
    for (float& v : x) v = normal(random) * (n % 10 == 9 ? 3.0f : 1.0f);
    auto error_of = [&](int code) {
      double error = 0;
      for (int i = 0; i < 8; i++) error += (double{x[i]} - grid.value(code, i)) * (double{x[i]} - grid.value(code, i));
      return error;
    };
    double least = INFINITY;
    for (int code = 0; code < 65536; code++) least = std::min(least, error_of(code));
    ASSERT_NEAR(error_of(grid.nearest(x)), least, 1e-5) << n;
  }
}

// The published figure of the codebook on N(0,1) is 0.0915 per weight; the best scalar 2-bit code has 0.1175.
TEST(E8p, MeanSquaredErrorOnNormalValues) {
  const Grid& grid = e8p_grid();
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  double error = 0;
  constexpr int kPoints = 50000;
  for (int n = 0; n < kPoints; n++) {
    float x[8];
    for (float& v : x) v = 1.03f * normal(random);
    int code = grid.nearest(x);
    for (int i = 0; i < 8; i++) error += std::pow(double{x[i]} - grid.value(code, i), 2);
  }
  EXPECT_NEAR(error / kPoints / 8 / (1.03 * 1.03), 0.0915, 0.001);
}

std::string message_of(auto&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(NumberFormat, NamesAreCanonicalAndReadBack) {
  for (const FormatRow& row : number_formats())
    for (const char* suffix : {"", ".row", ".g64", ".tensor", ".b32x128.e8m0", ".bf16.g8"}) {
      NumberFormat format = parse_number_format(std::string(row.name) + suffix);
      EXPECT_EQ(parse_number_format(format.name).name, format.name);
      EXPECT_EQ(format.group_rows > 1, std::string_view(suffix).starts_with(".b32") || suffix == std::string_view(".tensor"));
      EXPECT_EQ(format_row(format).name, row.name);
      EXPECT_EQ(format.open_parameter.empty(), row.value != "auto");
    }
  EXPECT_EQ(parse_number_format("int4").name, "int4.f16.g64");
  EXPECT_EQ(parse_number_format("pow4:a=0.83.row").name, "pow4:a=0.83.f16.row");
  EXPECT_EQ(parse_number_format("pow4:a=auto").open_parameter, "a");
  EXPECT_EQ(parse_number_format("fp4:split=e3m0").grid.magnitude(), 16);
  EXPECT_EQ(parse_number_format("int16:p=15.tensor").grid.magnitude(), 16383);
  NumberFormat learned = parse_number_format("cb2:v=81ff017f.g32");
  EXPECT_EQ(learned.grid.value(0), -127);
  EXPECT_EQ(learned.grid.value(1), -1);
  EXPECT_EQ(learned.grid.value(3), 127);
  EXPECT_EQ(with_parameter(parse_number_format("cb2.g32"), "81ff017f").name, learned.name);
  EXPECT_LT(with_parameter(parse_number_format("cb4d2"), std::string(64, '1')).label().size(), 40u);
}

TEST(NumberFormat, SaysWhatIsWrong) {
  struct Case {
    const char *spec, *part;
  };
  for (const Case& c : {Case{"int4:a=1", "has no parameter"}, Case{"pow4:b=1", "expected pow4:a=VALUE"}, Case{"pow4:a=", "expected pow4:a=VALUE"},
                        Case{"pow4:a=x", "expected a number from 0.1 to 4"}, Case{"pow4:a=nan", "expected a number"}, Case{"fp4:split=e2m2", "of 4 bits"},
                        Case{"cb2:v=81ff01", "needs 8 hexadecimal digits"}, Case{"cb2:v=80ff0101", "no 80"}, Case{"cb2:v=+1ff0101", "hexadecimal"},
                        Case{"int4.b3", "bROWSxCOLUMNS"}, Case{"int4.b0x3", "bROWSxCOLUMNS"}, Case{"int4.g12x3", "group size"},
                        Case{"e8p2.g12", "multiple"}, Case{"int16:p=17", "from 9 to 16"}, Case{"", "unknown number format"}})
    EXPECT_NE(message_of([&] { parse_number_format(c.spec); }).find(c.part), std::string::npos)
        << c.spec << ": " << message_of([&] { parse_number_format(c.spec); });
}

TEST(NumberFormat, BitsPerWeight) {
  EXPECT_DOUBLE_EQ(parse_number_format("int4.f16.g64").bits_per_weight(128), 4.25);
  EXPECT_DOUBLE_EQ(parse_number_format("int4.f16.b4x64").bits_per_weight(128), 4.0625);
  EXPECT_DOUBLE_EQ(parse_number_format("e8p2").bits_per_weight(1024), 2 + 16.0 / 1024);
  EXPECT_DOUBLE_EQ(parse_number_format("cb8d2.f16.g64").bits_per_weight(64), 4.25);
  EXPECT_DOUBLE_EQ(parse_number_format("cb4row").bits_per_weight(1024), 4 + (16 + 128.0) / 1024);
}

}  // namespace
}  // namespace bitkerf
