#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "core/buffer.h"
#include "forms/encoding.h"
#include "forms/fixed_point/words.h"

namespace bitkerf {
namespace {

// Rows with large and small groups, zeros, numbers too small to have an inverse, and ties.
OwnedMatrix<float> rows_of_all_kinds(i64 tokens, i64 cols) {
  OwnedMatrix<float> x(tokens, cols);
  std::mt19937 random(static_cast<unsigned>(cols));
  std::normal_distribution<float> draw(0, 1);
  const float sizes[] = {1, 1e-3f, 0, 1e30f, 1e-38f, 127};
  for (i64 t = 0; t < tokens; t++)
    for (i64 c = 0; c < cols; c++) {
      float size = sizes[static_cast<std::size_t>((c / 32 + t) % 6)];
      x(t, c) = size == 127 ? static_cast<float>(c % 255 - 127) / 2 : size * draw(random);
    }
  return x;
}

struct Encoded {
  Buffer<std::byte> memory;
  const IntRows& rows() const { return *reinterpret_cast<const IntRows*>(memory.data()); }
};
Encoded encode(const Encoding& encoding, Isa isa, Matrix<const float> x, i64 split) {
  Encoded e{Buffer<std::byte>(encoding.bytes(x.rows, x.cols))};
  encoding.prepare(e.memory.data(), x.rows, x.cols);
  encoding.encode(isa, x, split, x.rows, e.memory.data());
  encoding.encode(isa, x, 0, split, e.memory.data());
  return e;
}

template <class T>
bool same(const T* a, const T* b, i64 count) {
  return !a || !b ? a == b : std::memcmp(a, b, static_cast<std::size_t>(count) * sizeof(T)) == 0;
}

TEST(Encoding, SameBitsOnEveryPath) {
  for (const Encoding& encoding : encodings()) {
    if (encoding.bits == 0 || is_fixed_point(encoding)) continue;  // no IntRows
    for (i64 cols : {1, 16, 31, 32, 33, 64, 100, 256, 511, 512, 513, 576, 800, 1055, 1536}) {
      i64 tokens = 3;
      OwnedMatrix<float> x = rows_of_all_kinds(tokens, cols);
      Encoded judge = encode(encoding, Isa::portable, x.view(), 0);
      const IntRows& a = judge.rows();
      for (const IsaRow& row : isas()) {
        if (!runs(row.isa)) continue;
        Encoded other = encode(encoding, row.isa, x.view(), 1);
        const IntRows& b = other.rows();
        EXPECT_TRUE(same(a.q, b.q, tokens * a.cols) && same(a.low, b.low, tokens * a.cols) &&
                    same(a.scale, b.scale, tokens * a.groups) &&
                    same(a.scaled_sum, b.scaled_sum, tokens * a.groups) &&
                    same(a.minus_before, b.minus_before, tokens * (a.units + 1)) &&
                    same(a.minus_sum16, b.minus_sum16, tokens * a.units * 2) &&
                    same(a.planes, b.planes, tokens * a.bits * a.units))
            << encoding.name << ", " << cols << " columns, " << row.name;
      }
    }
  }
}

}  // namespace
}  // namespace bitkerf
