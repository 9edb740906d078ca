#include <cmath>

#include "ops/ops.h"

namespace bitkerf {
namespace {

// cos and sin cost about 40 ns a pair; products of tabled ones 1 ns. Of a position p, far = p - p % kNear gets its
// angles computed and p % kNear has them in a table. What a position gets depends on nothing but the position.
constexpr i64 kNear = 64;

}  // namespace

Rotary::Rotary(std::span<const double> inverse_frequencies, double magnitude)
    : frequencies_(static_cast<i64>(inverse_frequencies.size())),
      near_(kNear * 2 * static_cast<i64>(inverse_frequencies.size())),
      magnitude_(magnitude) {
  for (i64 i = 0; i < pairs(); i++) {
    frequencies_[i] = inverse_frequencies[static_cast<std::size_t>(i)];
    for (i64 p = 0; p < kNear; p++) {
      double angle = static_cast<double>(p) * frequencies_[i];
      near_[(2 * p) * pairs() + i] = std::cos(angle);
      near_[(2 * p + 1) * pairs() + i] = std::sin(angle);
    }
  }
}

void Rotary::fill(i64 first, Matrix<float> table, Context& context) const noexcept {
  CHECK_EQ(table.cols, table_cols());
  i64 n = pairs(), first_block = first / kNear, blocks = ceil_div(first + table.rows, kNear) - first_block;
  auto fill_blocks = [&](i64 begin, i64 end) {
    for (i64 i = 0; i < n; i++) {
      for (i64 b = begin; b < end; b++) {
        i64 far = (first_block + b) * kNear;
        double angle = static_cast<double>(far) * frequencies_[i];
        double cosine = std::cos(angle) * magnitude_, sine = std::sin(angle) * magnitude_;
        i64 last = std::min(first + table.rows, far + kNear);
        for (i64 p = std::max(first, far); p < last; p++) {
          double c = near_[(2 * (p - far)) * n + i], s = near_[(2 * (p - far) + 1) * n + i];
          table(p - first, i) = static_cast<float>(cosine * c - sine * s);
          table(p - first, n + i) = static_cast<float>(sine * c + cosine * s);
        }
      }
    }
  };
  if (table.rows == 1) fill_blocks(0, blocks);
  else context.threads.split(blocks, fill_blocks);
}

}  // namespace bitkerf
