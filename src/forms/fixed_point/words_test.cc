// Dynamic fixed point against int64 arithmetic, at the bound of what int32 lanes hold.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#define BITKERF_COUNT_OVERFLOWS
#include "forms/fixed_point/lanes_portable.h"

#include "forms/fixed_point/kernels.inl"

#include <fmt/format.h>

#include "forms/fixed_point/form.h"

namespace bitkerf {
namespace {

// Rows of weights and activations: all +max, all -max, alternating, one huge value among small ones, random.
std::int64_t pattern(i64 row, i64 k, std::int64_t most, std::mt19937& random) {
  switch (row % 5) {
    case 0: return most;
    case 1: return -most;
    case 2: return k % 2 == 0 ? most : -most;
    case 3: return k == 7 ? most : static_cast<std::int64_t>(random() % 7) - 3;
    default: return static_cast<std::int64_t>(random() % static_cast<unsigned>(2 * most + 1)) - most;
  }
}

void compare_with_int64(i64 cols, int weight_bits, int input_bits) {
  std::mt19937 random(static_cast<unsigned>(cols));
  const i64 rows = 33, tokens = 6;
  const std::int64_t top_w = (1 << (weight_bits - 1)) - 1, top_x = (1 << (input_bits - 1)) - 1;
  NumberFormat format = parse_number_format(fmt::format("int16:p={}.row", weight_bits));
  Quantized q = Quantized::zeros(format, {rows, cols});
  for (i64 r = 0; r < rows; r++) {
    q.scales(r, 0) = std::ldexp(1.0f, static_cast<int>(r % 7) - 20);
    for (i64 c = 0; c < cols; c++) q.codes(r, c) = static_cast<std::uint16_t>(pattern(r, c, top_w, random) + top_w);
  }
  // Such that their codes are these integers: the largest is the power of two's last code.
  OwnedMatrix<float> x(tokens, cols);
  for (i64 t = 0; t < tokens; t++)
    for (i64 c = 0; c < cols; c++) x(t, c) = static_cast<float>(pattern(t, c, top_x, random));
  Threads threads(1);
  const Encoding& input = encoding(fmt::format("fixed{}.row", input_bits));
  auto packed = form("fixed_point").pack(q, input, threads);
  OwnedMatrix<double> v(tokens, cols);
  decode_input(input, Isa::portable, x.view(), v.view());
  auto check = [&](Matrix<const float> y, const char* what) {
    for (i64 t = 0; t < tokens; t++)
      for (i64 r = 0; r < rows; r++) {
        // Powers of two keep everything exact: the sum in units of both scales is an integer below 2^53.
        double sum = 0;
        for (i64 c = 0; c < cols; c++) sum += v(t, c) * (static_cast<double>(q.codes(r, c)) - static_cast<double>(top_w));
        ASSERT_EQ(static_cast<float>(sum * q.scales(r, 0)), y(t, r)) << what << " K " << cols << " p " << weight_bits << ' ' << input_bits << ' ' << t << ' ' << r;
      }
  };
  OwnedMatrix<float> y(tokens, rows);
  for (const IsaRow& isa : isas()) {
    if (!runs(isa.isa)) continue;
    for (i64 at_once : {tokens, i64{1}, i64{5}}) {
      Arena arena(packed->scratch(tokens));
      Context context{threads, arena, isa.isa};
      for (i64 t = 0; t < tokens; t += at_once) {
        i64 n = std::min(at_once, tokens - t);
        packed->apply(Matrix<const float>(x.view()).sub_rows(t, n), y.view().sub_rows(t, n), context);
      }
      ASSERT_NO_FATAL_FAILURE(check(y.view(), std::string(isa.name).c_str()));
    }
  }
  // The same kernels, compiled here with a counter of lanes that wrap.
  Buffer<std::byte> memory(input.bytes(tokens, cols));
  input.prepare(memory.data(), tokens, cols);
  input.encode(Isa::portable, x.view(), 0, tokens, memory.data());
  overflows = 0;
  OwnedMatrix<float> panel(tokens, 32);
  for (i64 p = 0; p < packed->panels(); p++)
    for (i64 t = 0; t < tokens; t += 2)
      words<2>(*static_cast<const WordsView*>(packed->kernel_data()), packed->panel(p), *reinterpret_cast<const WordRows*>(memory.data()), t, panel.view().row(t), 32);
  ASSERT_EQ(overflows, 0) << "K " << cols << " p " << weight_bits << ' ' << input_bits;
}

TEST(FixedPoint, EqualsInt64AtTheBound) {
  for (i64 cols = 1; cols <= 70; cols++) ASSERT_NO_FATAL_FAILURE(compare_with_int64(cols, 16, 16));
  for (i64 cols : {127, 128, 129, 576, 1023, 1024, 1025, 1536, 4097, 19999, 20000})
    for (auto [w, x] : {std::pair{16, 16}, {15, 15}, {12, 12}, {16, 12}})
      ASSERT_NO_FATAL_FAILURE(compare_with_int64(cols, w, x));
}

// The runs are as long as the codes allow and no longer: twice the chosen run would wrap on the worst row.
TEST(FixedPoint, RunsAreAsLongAsTheCodesAllow) {
  struct Case {
    int bits;
    i64 run;
  };
  for (const Case& c : {Case{16, 1}, Case{15, 4}, Case{14, 16}, Case{13, 64}, Case{12, 256}}) {
    NumberFormat format = parse_number_format(fmt::format("int16:p={}.row", c.bits));
    Quantized q = Quantized::zeros(format, {32, 2048});
    for (i64 r = 0; r < 32; r++) {
      q.scales(r, 0) = 1;
      for (i64 k = 0; k < 2048; k++) q.codes(r, k) = static_cast<std::uint16_t>(format.grid.levels() - 1);  // all +max
    }
    Threads threads(1);
    auto packed = form("fixed_point").pack(q, encoding(fmt::format("fixed{}.row", c.bits)), threads);
    const auto& view = *static_cast<const WordsView*>(packed->kernel_data());
    EXPECT_EQ(run_of_pairs(view.sums, (1 << (c.bits - 1)) - 1), c.run) << c.bits;
  }
  // Counting works: a run twice as long as allowed is seen.
  std::int64_t lie[WordsView::kRuns] = {};
  Quantized q = Quantized::zeros(parse_number_format("int16:p=15.row"), {32, 2048});
  for (i64 r = 0; r < 32; r++)
    for (i64 k = 0; k < 2048; k++) q.codes(r, k) = static_cast<std::uint16_t>(2 * 16383);
  Threads threads(1);
  const Encoding& input = encoding("fixed15.row");
  auto packed = form("fixed_point").pack(q, input, threads);
  WordsView view = *static_cast<const WordsView*>(packed->kernel_data());
  view.sums = lie;
  OwnedMatrix<float> x(1, 2048), y(1, 32);
  for (i64 k = 0; k < 2048; k++) x(0, k) = 16383;
  Buffer<std::byte> memory(input.bytes(1, 2048));
  input.prepare(memory.data(), 1, 2048);
  input.encode(Isa::portable, x.view(), 0, 1, memory.data());
  overflows = 0;
  words<1>(view, packed->panel(0), *reinterpret_cast<const WordRows*>(memory.data()), 0, y.view().data, 32);
  EXPECT_GT(overflows, 0);
}

}  // namespace
}  // namespace bitkerf
