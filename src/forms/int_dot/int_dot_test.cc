// What the tables of int_dot do to a format whose levels are no small integers (NUPES' powers, NF4, wide floats).
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "forms/int_dot/form.h"

namespace bitkerf {
namespace {

TEST(IntDot, RoundedTablesAddLessThanAHundredthToTheSquaredError) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  Threads threads(2);
  constexpr i64 kRows = 64, kCols = 1024;
  OwnedMatrix<float> weights(kRows, kCols), w(kRows, kCols);
  for (i64 r = 0; r < kRows; r++)
    for (i64 c = 0; c < kCols; c++) weights(r, c) = normal(random);
  int rounded = 0;
  for (const FormatRow& row : number_formats()) {
    NumberFormat format = parse_number_format(std::string(row.name) + ".f32.g64");
    if (!int_dot_holds(format) || int_dot_rounding(format) == 0) continue;
    rounded++;
    Quantized q = Quantized::zeros(format, {kRows, kCols});
    for (i64 r = 0; r < kRows; r++)
      for (i64 g = 0; g < format.groups(kCols); g++) {
        float top = 0;
        for (i64 c = 64 * g; c < 64 * (g + 1); c++) top = std::max(top, std::fabs(weights(r, c)));
        q.scales(r, g) = top / format.grid.reach();
        for (i64 c = 64 * g; c < 64 * (g + 1); c++) q.codes(r, c) = static_cast<std::uint16_t>(format.grid.nearest(weights(r, c) / q.scales(r, g)));
      }
    pack_int_dot(q, int8_input(), threads)->expand(0, w.view());
    double own = 0, with_table = 0;
    for (i64 r = 0; r < kRows; r++)
      for (i64 c = 0; c < kCols; c++) {
        own += std::pow(q.weight(r, c) - weights(r, c), 2);
        with_table += std::pow(w(r, c) - weights(r, c), 2);
      }
    EXPECT_LT(with_table, own * 1.01) << row.name;
    RecordProperty(std::string(row.name), std::to_string(with_table / own - 1));
  }
  EXPECT_GE(rounded, 4);
}

}  // namespace
}  // namespace bitkerf
