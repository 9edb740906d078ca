#include "compress/stored_export.h"

#include <gtest/gtest.h>

#include <random>

#include "compress/quantizers/round_to_nearest.h"

namespace bitkerf {
namespace {

TEST(StoredExport, BlocksDecodeToTheSameWeights) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.01f, 0.05f);
  OwnedMatrix<float> w(5, 96);
  for (float& v : std::span(w.view().data, 5 * 96)) v = normal(random);
  for (i64 c = 32; c < 64; c++) w(2, c) = 0;
  const std::vector<i64> order = {3, 0, 4, 1, 2};
  for (const StorableRow& row : storable_formats()) {
    SCOPED_TRACE(row.type);
    Quantized q = round_to_nearest(w.view(), parse_number_format(row.format), scale_rules::squared_error);
    const StoredType* type = stored_type_of(q.format, 96);
    ASSERT_TRUE(type);
    EXPECT_EQ(type->name, row.type);
    std::vector<std::byte> bytes = stored_blocks(q, order);
    ASSERT_EQ(static_cast<i64>(bytes.size()), 5 * type->bytes(96));
    std::vector<float> decoded(5 * 96);
    type->dequantize(bytes.data(), 5 * 96 / type->block, decoded.data());
    for (i64 r = 0; r < 5; r++)
      for (i64 c = 0; c < 96; c++) EXPECT_EQ(decoded[static_cast<std::size_t>(order[static_cast<std::size_t>(r)] * 96 + c)], q.weight(r, c)) << r << ' ' << c;
    EXPECT_EQ(stored_type_of(q.format, 97), nullptr);
  }
  EXPECT_EQ(stored_type_of(parse_number_format("int4.g64"), 128), nullptr);
}

}  // namespace
}  // namespace bitkerf
