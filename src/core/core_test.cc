#include <gtest/gtest.h>

#include "core/buffer.h"
#include "core/checked.h"
#include "core/error.h"

namespace bitkerf {
namespace {

TEST(Fault, RowsAreInTheOrderOfTheEnum) {
  int i = 0;
  for (const FaultRow& row : kFaults) EXPECT_EQ(static_cast<int>(row.fault), i++);
}

TEST(Checked, RefusesWhatWraps) {
  EXPECT_EQ(checked_add<std::uint64_t>(1, 2), 3u);
  EXPECT_FALSE(checked_add<std::uint64_t>(~0ull, 1));
  EXPECT_FALSE(checked_mul<std::uint64_t>(1ull << 63, 2));
  EXPECT_EQ(checked_round_up<std::uint64_t>(33, 32), 64u);
  EXPECT_FALSE(checked_round_up<std::uint64_t>(~0ull - 3, 32));
}

TEST(Buffer, IsAlignedAndZeroed) {
  for (i64 count : {0, 1, 63, 4097, 5 << 20}) {
    Buffer<std::uint8_t> b(count);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data()) % kAlignment, 0u);
    for (i64 i = 0; i < count; i += 997) EXPECT_EQ(b[i], 0);
  }
}

}  // namespace
}  // namespace bitkerf
