#include "measure/roofs.h"

#include <gtest/gtest.h>

namespace bitkerf {
namespace {

// Every path that this machine runs gives limits that are possible, and a wider path is not slower in arithmetic
// than the narrow one by more than a busy machine explains.
TEST(Roofs, ArePossible) {
  Threads threads(1);
  for (const IsaRow& row : isas()) {
    if (!runs(row.isa)) continue;
    RoofMeter meter(row.isa, threads);
    Roofs roofs = meter.measure(0.02);
    EXPECT_GT(roofs.read_bytes_per_second, 1e8) << row.name;
    EXPECT_LT(roofs.read_bytes_per_second, 1e12) << row.name;
    EXPECT_GT(roofs.int8_ops_per_second, 1e8) << row.name;
    EXPECT_LT(roofs.int8_ops_per_second, 1e13) << row.name;
    EXPECT_GT(roofs.float_ops_per_second, 1e8) << row.name;
    EXPECT_LT(roofs.float_ops_per_second, 1e12) << row.name;
  }
}

TEST(Roofs, MeasuringAgainOnlyRaisesThem) {
  Threads threads(1);
  RoofMeter meter(chosen_isa(), threads);
  Roofs first = meter.measure(0.01), second = meter.measure(0.01);
  EXPECT_GE(second.int8_ops_per_second, first.int8_ops_per_second);
  EXPECT_GE(second.read_bytes_per_second, first.read_bytes_per_second);
}

}  // namespace
}  // namespace bitkerf
