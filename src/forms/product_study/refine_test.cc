#include "forms/product_study/refine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "core/error.h"
#include "forms/list.h"

namespace bitkerf {
namespace {

Quantized random_codes(const NumberFormat& format, Shape shape, std::mt19937& random) {
  Quantized q = Quantized::zeros(format, shape);
  std::uniform_real_distribution<float> uniform(0.01f, 1.0f);
  for (i64 r = 0; r < shape.rows; r++) {
    for (i64 c = 0; c < q.codes.cols(); c++) q.codes(r, c) = static_cast<std::uint16_t>(random() % static_cast<unsigned>(format.grid.levels()));
    for (i64 g = 0; g < format.groups(shape.cols); g++) {
      q.scales(r, g) = format.scale->round(uniform(random));
      if (format.has_minimum) q.minima(r, g) = -minimum_type(*format.scale).round(uniform(random));
    }
    if (format.scale->of_row) q.round_scales(r);
  }
  return q;
}

struct Setting {
  const char *form, *format, *input;
};
constexpr Setting kSettings[] = {
    {"int_dot", "int8.f32.row", "int8.row"},    {"int_dot", "int4.g64", "int8.row"},        {"int_dot", "int4.g64", "int8.g64"},
    {"int_dot", "uint4.u8.g32", "int8.g32"},    {"int_dot", "uint4.g128", "int8.row"},      {"int_dot", "normal4.u8.g192", "int8.row"},
    {"bit_planes", "int6.g64", "int8.g128"},    {"int_dot", "int3.g128", "hadamard/int8.row"}, {"bit_planes", "bipolar2.g32", "int8.row"},
};
constexpr Shape kShapes[] = {{32, 32}, {70, 576}, {40, 1120}};

std::vector<float> products(const Linear& linear, const OwnedMatrix<float>& x, int threads, Isa isa) {
  Threads team(threads);
  Arena arena(linear.scratch(x.rows()));
  Context context{team, arena, isa};
  std::vector<float> y(static_cast<std::size_t>(x.rows() * linear.shape().rows));
  linear.apply(x.view(), {y.data(), x.rows(), linear.shape().rows}, context);
  return y;
}

// What the high parts alone stand for: 16 round(code / 16), at most 7.
std::vector<float> products_of_high(const PackedLinear& linear, const OwnedMatrix<float>& x) {
  const Encoding& input = linear.input();
  const Encoding& plain = input.plain();
  const i64 cols = x.cols();
  OwnedMatrix<float> turned(x.rows(), cols);
  OwnedMatrix<double> codes(x.rows(), cols);
  decode_input(input, chosen_isa(), x.view(), codes.view());
  if (const Transform* t = input.transform_for(cols))
    for (i64 i = 0; i < x.rows(); i++) t->input(chosen_isa(), x.view().row(i), turned.view().row(i));
  else
    for (i64 i = 0; i < x.rows(); i++) std::copy_n(x.view().row(i), cols, turned.view().row(i));
  OwnedMatrix<float> w(linear.shape().rows, cols);
  linear.expand_stored(0, w.view());
  std::vector<float> y;
  for (i64 t = 0; t < x.rows(); t++)
    for (i64 r = 0; r < w.rows(); r++) {
      double sum = 0;
      for (i64 first = 0; first < cols; first += plain.group == kRowGroup ? cols : plain.group) {
        const i64 last = plain.group == kRowGroup ? cols : std::min(first + plain.group, cols);
        double most = 0;
        for (i64 c = first; c < last; c++) most = std::max(most, static_cast<double>(std::fabs(turned(t, c))));
        const double scale = static_cast<double>(static_cast<float>(most) / 127.0f);
        for (i64 c = first; c < last; c++) sum += w(r, c) * scale * 16 * std::min(7.0, std::floor(codes(t, c) / scale / 16 + 0.5 + 1e-9));
      }
      y.push_back(static_cast<float>(sum));
    }
  return y;
}

TEST(Refine, ZeroIsTheMatrixItself) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const Setting& s : kSettings)
    for (const Shape& shape : kShapes)
      for (i64 tokens : {1, 2, 13}) {
        SCOPED_TRACE(fmt::format("{} {} {} {}x{}, {} tokens", s.form, s.format, s.input, shape.rows, shape.cols, tokens));
        const Encoding& input = encoding(s.input);
        if (!input.fits(shape.cols)) continue;
        Threads threads(1);
        NumberFormat format = parse_number_format(s.format);
        Quantized q = random_codes(format, shape, random);
        auto pack = [&] { return form(s.form).pack(q, input, threads); };
        OwnedMatrix<float> x(tokens, shape.cols);
        for (i64 t = 0; t < tokens; t++)
          for (i64 c = 0; c < shape.cols; c++) x(t, c) = normal(random) * (c % 37 == 0 ? 20.0f : 1.0f);
        Refinement all("0"), none("a=0; *=inf"), some("*=30");
        std::unique_ptr<PackedLinear> plain = pack(), same = make_refined(pack(), "a", all, threads), high = make_refined(pack(), "b", none, threads),
                                      part = make_refined(pack(), "c", some, threads);
        ASSERT_EQ(all.matrices().size(), 1u);
        ASSERT_NE(same->describe(), plain->describe());
        for (const IsaRow& isa : isas()) {
          if (!runs(isa.isa)) continue;
          std::vector<float> want = products(*plain, x, 1, isa.isa), got = products(*same, x, 2, isa.isa);
          ASSERT_EQ(std::memcmp(want.data(), got.data(), want.size() * 4), 0) << isa.name;
        }
        EXPECT_EQ(all.blocks(), all.refined());
        EXPECT_GT(all.blocks(), 0);
        std::vector<float> expected = products_of_high(*plain, x), got = products(*high, x, 1, chosen_isa());
        if (!format.has_minimum) {  // sums times minima stay exact
          double most = 0;
          for (float v : expected) most = std::max(most, std::fabs(double{v}));
          for (std::size_t i = 0; i < got.size(); i++) ASSERT_NEAR(got[i], expected[i], 1e-4 * most + 1e-5) << i;
        }
        EXPECT_EQ(none.refined(), 0);
        products(*part, x, 1, chosen_isa());
        EXPECT_LE(some.refined(), some.blocks());
      }
}

TEST(Refine, RefinesWhereItMatters) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  Threads threads(1);
  Quantized q = random_codes(parse_number_format("int4.f32.g64"), {64, 512}, random);
  OwnedMatrix<float> x(6, 512);
  for (i64 t = 0; t < 6; t++)
    for (i64 c = 0; c < 512; c++) x(t, c) = normal(random) * (c < 64 ? 30.0f : 1.0f);
  auto pack = [&] { return form("int_dot").pack(q, encoding("int8.g64"), threads); };
  std::vector<float> want = products(*pack(), x, 1, chosen_isa());
  double last = INFINITY;
  i64 least = -1;
  for (const char* threshold : {"inf", "400", "100", "1", "0"}) {
    Refinement refinement(threshold, true);
    std::unique_ptr<PackedLinear> linear = make_refined(pack(), "x", refinement, threads);
    std::vector<float> got = products(*linear, x, 2, chosen_isa());
    double error = 0;
    for (std::size_t i = 0; i < got.size(); i++) error += (got[i] - want[i]) * (got[i] - want[i]);
    EXPECT_LE(error, last) << threshold;
    EXPECT_GE(refinement.refined(), least) << threshold;
    i64 counted = 0, above = 0;
    for (std::size_t i = 0; i < kSizeClasses; i++) {
      counted += refinement.matrices()[0].sizes[i];
      if (size_of_class(i) > refinement.matrices()[0].threshold) above += refinement.matrices()[0].sizes[i];
    }
    EXPECT_EQ(counted, refinement.blocks());
    EXPECT_LE(above, refinement.refined());
    // The two blocks of large columns are an eighth of all and nearly all of the error.
    if (std::string_view(threshold) == "100") {
      EXPECT_EQ(refinement.refined() * 8, refinement.blocks());
      EXPECT_LT(error, 0.02 * last);
    }
    last = error, least = refinement.refined();
  }
  EXPECT_EQ(last, 0);
}

TEST(Refine, ReadsThresholds) {
  Refinement lines("# all\n*=0.5\n blk.*.attn_v = 0 ; blk.1.* = inf");
  EXPECT_EQ(lines.add("output")->threshold, 0.5);
  EXPECT_EQ(lines.add("blk.0.attn_v")->threshold, 0);
  EXPECT_EQ(lines.add("blk.1.attn_v")->threshold, INFINITY);
  EXPECT_EQ(Refinement("blk.*=1").add("output"), nullptr);
  for (const char* wrong : {"", "a", "-1", "nan", "*=", "*=1x", "1 2", "# nothing"}) EXPECT_THROW(Refinement{wrong}, Error) << wrong;
}

}  // namespace
}  // namespace bitkerf
