#include "transforms/hadamard.h"
#include "transforms/kronecker.h"

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "core/error.h"

namespace bitkerf {
namespace {

std::vector<float> normal_row(i64 n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<std::size_t>(n));
  for (float& x : row) x = normal(random);
  return row;
}

// T of a width, without its signs, from its definition: entry (r, c) is the product of those of the factors.
class Dense {
 public:
  explicit Dense(const Hadamard& hadamard) : block_(hadamard.block()), factors_(hadamard.factors()) {
    for (i64 order : factors_) cores_.push_back(paley_matrix(order));
  }
  int sign(i64 r, i64 c) const {
    int sign = 1;
    for (std::size_t f = factors_.size(); f-- > 0;) {
      i64 order = factors_[f], i = r % order, j = c % order;
      if (f + 1 == factors_.size()) sign *= __builtin_popcountll(static_cast<unsigned long long>(i & j)) % 2 ? -1 : 1;
      else sign *= cores_[f][static_cast<std::size_t>(i * order + j)];
      r /= order, c /= order;
    }
    return sign;
  }

 private:
  i64 block_;
  std::vector<i64> factors_;
  std::vector<std::vector<std::int8_t>> cores_;
};

std::vector<Isa> runnable() {
  std::vector<Isa> list;
  for (const IsaRow& row : isas())
    if (runs(row.isa)) list.push_back(row.isa);
  return list;
}

TEST(Hadamard, PaleyMatricesAreHadamard) {
  int found = 0;
  for (i64 order = 4; order <= HadamardPlan::kMostOrder; order += 4) {
    std::vector<std::int8_t> m = paley_matrix(order);
    if (m.empty()) continue;
    found++;
    for (i64 a = 0; a < order; a++)
      for (i64 b = 0; b <= a; b++) {
        int dot = 0;
        for (i64 c = 0; c < order; c++) dot += m[static_cast<std::size_t>(a * order + c)] * m[static_cast<std::size_t>(b * order + c)];
        ASSERT_EQ(dot, a == b ? order : 0) << order;
      }
  }
  EXPECT_EQ(found, 24);
  for (i64 order : {12, 20, 28, 36}) EXPECT_FALSE(paley_matrix(order).empty()) << order;
}

TEST(Hadamard, FactorsOfWidths) {
  struct Case {
    i64 width, block;
    std::vector<i64> factors;
  };
  for (const Case& c : {Case{576, 576, {36, 16}}, {640, 640, {20, 32}}, {1536, 1536, {12, 128}}, {2048, 2048, {2048}}, {384, 384, {12, 32}},
                        {896, 896, {28, 32}}, {5632, 5632, {44, 128}}, {8192, 8192, {8192}}, {4864, 4864, {76, 64}}, {11008, 256, {256}},
                        {64, 64, {64}}, {3600, 3600, {60, 60, 1}}}) {
    ASSERT_EQ(Hadamard::fits(c.width), c.block > 0) << c.width;
    if (c.block == 0) continue;
    Hadamard hadamard(c.width);
    EXPECT_EQ(hadamard.block(), c.block) << c.width;
    EXPECT_EQ(hadamard.factors(), c.factors) << c.width;
  }
  for (i64 width : {1, 13, 8, 17, 33, 577}) EXPECT_FALSE(Hadamard::fits(width)) << width;
}

// Against the matrix in double. A float's sum of n terms of size 1 / sqrt(n) passes log2(n) + order additions at most, so
// its error is below (2 + log2(n) + order) 2^-24 |x|.
TEST(Hadamard, IsTheDenseMatrixOnEveryInstructionSet) {
  for (i64 n : {16, 20, 24, 48, 60, 144, 256, 384, 576, 640, 1536, 1408, 2048, 3600, 4096, 11008}) {
    SCOPED_TRACE(n);
    Hadamard hadamard(n);
    Dense dense(hadamard);
    const i64 block = hadamard.block();
    std::vector<float> x = normal_row(n, static_cast<unsigned>(n));
    const double length = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)), size = 1 / std::sqrt(static_cast<double>(block));
    // The signs are those that T gives to unit vectors.
    std::vector<double> signs;
    for (i64 c = 0; c < n; c++) {
      std::vector<float> unit(static_cast<std::size_t>(n)), y(static_cast<std::size_t>(n));
      unit[static_cast<std::size_t>(c)] = 1;
      hadamard.input(chosen_isa(), unit.data(), y.data());
      signs.push_back(y[static_cast<std::size_t>(c / block * block)] * dense.sign(0, c % block) < 0 ? -1 : 1);
      for (i64 r = 0; r < n; r += std::max<i64>(1, n / 61)) {
        double want = r / block == c / block ? size * signs.back() * dense.sign(r % block, c % block) : 0;
        ASSERT_NEAR(y[static_cast<std::size_t>(r)], want, 1e-7) << r << ' ' << c;
      }
    }
    double bound = (2 + std::log2(block) + static_cast<double>(hadamard.factors()[0])) * 0x1p-24 * length;
    std::vector<float> first;
    for (Isa isa : runnable()) {
      std::vector<float> y(static_cast<std::size_t>(n) + 1, 7.0f), back = x;
      hadamard.input(isa, x.data(), y.data());
      EXPECT_EQ(y.back(), 7.0f);
      if (first.empty()) first = y;
      EXPECT_EQ(std::memcmp(first.data(), y.data(), first.size() * 4), 0) << row_of(isa).name;
      for (i64 r = 0; r < n; r++) {
        double sum = 0;
        for (i64 c = 0; c < block; c++) {
          i64 col = r / block * block + c;
          sum += size * signs[static_cast<std::size_t>(col)] * dense.sign(r % block, c) * double{x[static_cast<std::size_t>(col)]};
        }
        ASSERT_NEAR(y[static_cast<std::size_t>(r)], sum, bound) << r;
      }
      hadamard.input(isa, back.data(), back.data());  // in place
      EXPECT_EQ(std::memcmp(back.data(), y.data(), back.size() * 4), 0);
      hadamard.original(isa, back.data(), back.data());
      for (i64 i = 0; i < n; i++) ASSERT_NEAR(back[static_cast<std::size_t>(i)], x[static_cast<std::size_t>(i)], 2 * bound) << i;
      double turned = std::sqrt(std::inner_product(y.begin(), y.end() - 1, y.begin(), 0.0));
      EXPECT_NEAR(turned, length, bound);
    }
    // About half of the signs are minus: 5 standard deviations.
    double sum = std::accumulate(signs.begin(), signs.end(), 0.0);
    EXPECT_LE(std::fabs(sum), 5 * std::sqrt(static_cast<double>(n)));
  }
}

// The signs are part of the file format.
TEST(Hadamard, SignsNeverChange) {
  std::uint64_t hash = 0;
  for (i64 n : {576, 1536, 640, 2048}) {
    Hadamard hadamard(n);
    std::vector<float> ones(static_cast<std::size_t>(n), 1.0f), y(static_cast<std::size_t>(n));
    hadamard.input(Isa::portable, ones.data(), y.data());
    for (float v : y) hash = hash * 31 + static_cast<std::uint64_t>(std::lround(v * std::sqrt(static_cast<float>(n))) + 100000);
  }
  EXPECT_EQ(hash, 10321356713182227072u);
}

TEST(Transforms, AreFoundByNameAndKept) {
  EXPECT_EQ(&transform("hadamard"), &transforms()[0]);
  EXPECT_THROW(transform("hadamar"), Error);
  EXPECT_EQ(&transform_of(transform("hadamard"), 96), &transform_of(transform("hadamard"), 96));
  EXPECT_NE(&transform_of(transform("hadamard"), 96), &transform_of(transform("hadamard"), 192));
}

// Every transform: W T^-1 . T x = W x, and the moment of T x is that of x between T.
TEST(Transforms, KeepProductsAndMoments) {
  Threads threads(2);
  for (const TransformRow& row : transforms()) {
    const i64 n = 192;
    std::vector<float> parameters;
    for (i64 i = 0; row.has_parameters() && i < n; i++) parameters.push_back(row.name == "columns" ? static_cast<float>(i) : std::exp2(static_cast<float>(i % 7) - 3) * 1.1f);
    if (row.name == "kronecker")  // next to the identity, so that inverses are good
      for (i64 side : {12, 16}) {
        std::vector<float> noise = normal_row(side * side, 3);
        for (i64 i = 0; i < side * side; i++) parameters.push_back(0.05f * noise[static_cast<std::size_t>(i)] + (i % (side + 1) == 0 ? 1.0f : 0.0f));
      }
    const Transform& transform = transform_of(row, n, parameters);
    EXPECT_EQ(&transform, &transform_of(row, n, parameters));
    std::vector<float> x = normal_row(n, 1), w = normal_row(n, 2), tx(x), tw(w), back(w);
    transform.input(chosen_isa(), x.data(), tx.data());
    OwnedMatrix<float> weights(3, n), moment(n, n);
    for (i64 r = 0; r < 3; r++) std::copy(w.begin(), w.end(), weights.view().row(r));
    transform_weights(transform, weights.view(), threads);
    double plain = std::inner_product(x.begin(), x.end(), w.begin(), 0.0);
    double turned = std::inner_product(tx.begin(), tx.end(), weights.view().row(2), 0.0);
    EXPECT_NEAR(plain, turned, 2e-4) << row.name;  // |x| |w| 2^-24 (log2(n) + 12)
    transform.original(chosen_isa(), weights.view().row(1), back.data());
    for (i64 i = 0; i < n; i++) EXPECT_NEAR(back[static_cast<std::size_t>(i)], w[static_cast<std::size_t>(i)], 2e-5);
    for (i64 r = 0; r < n; r++)
      for (i64 c = 0; c < n; c++) moment(r, c) = x[static_cast<std::size_t>(r)] * x[static_cast<std::size_t>(c)];
    transform_moment(transform, moment.view(), threads);
    for (i64 r = 0; r < n; r++)
      for (i64 c = 0; c < n; c++) ASSERT_NEAR(moment(r, c), tx[static_cast<std::size_t>(r)] * tx[static_cast<std::size_t>(c)], row.has_parameters() ? 2e-2 : 2e-4);
  }
}

// Against its definition, in double; the same bits on every instruction set.
TEST(Transforms, KroneckerIsAProductOfThreeMatrices) {
  for (i64 n : {192, 576, 1536, 640, 110}) {
    const i64 n1 = Kronecker::rows_of(n), n2 = n / n1;
    if (n == 1536) {
      EXPECT_EQ(n1, 32);
    }
    std::vector<float> p = normal_row(Kronecker::count(n), 5), x = normal_row(n, 6), y(x), z(x);
    for (i64 i = 0; i < n; i++) p[static_cast<std::size_t>(i)] = std::exp2(p[static_cast<std::size_t>(i)]);
    ASSERT_TRUE(Kronecker::takes(n, p));
    Kronecker transform(n, p);
    transform.input(chosen_isa(), x.data(), y.data());
    const float *p1 = p.data() + n, *p2 = p1 + n1 * n1;
    for (i64 a = 0; a < n1; a++)
      for (i64 b = 0; b < n2; b++) {
        double want = 0, size = 0;
        for (i64 i = 0; i < n1; i++)
          for (i64 j = 0; j < n2; j++) {
            const double v = double{p1[i * n1 + a]} * p[static_cast<std::size_t>(i * n2 + j)] * x[static_cast<std::size_t>(i * n2 + j)] * p2[j * n2 + b];
            want += v, size += std::fabs(v);
          }
        ASSERT_NEAR(y[static_cast<std::size_t>(a * n2 + b)], want, size * 0x1p-20) << n;
      }
    for (const IsaRow& isa : isas()) {
      if (!runs(isa.isa)) continue;
      z = x;
      transform.input(isa.isa, z.data(), z.data());
      EXPECT_EQ(y, z) << isa.name;
    }
    p[static_cast<std::size_t>(n)] = NAN;
    EXPECT_FALSE(Kronecker::takes(n, p));
    std::fill_n(p.begin() + n, n1 * n1, 1.0f);
    EXPECT_FALSE(Kronecker::takes(n, p));  // singular
  }
  EXPECT_FALSE(Kronecker::fits(577));
}

TEST(Transforms, ColumnsAndFactorsOfZero) {
  const TransformRow &diagonal = transform("diagonal"), &columns = transform("columns");
  const std::vector<float> x = {3, -5, 7, 11};
  std::vector<float> y(4), back(4);
  const std::vector<float> mask = {1, 0, 0.5f, 0};
  const Transform& masked = transform_of(diagonal, 4, mask);
  masked.input(chosen_isa(), x.data(), y.data());
  EXPECT_EQ(y, (std::vector<float>{3, 0, 3.5f, 0}));
  masked.weights(chosen_isa(), x.data(), y.data());
  EXPECT_EQ(y, (std::vector<float>{3, 0, 14, 0}));
  masked.original(chosen_isa(), y.data(), back.data());
  EXPECT_EQ(back, (std::vector<float>{3, 0, 7, 0}));
  const std::vector<float> picked = {1, 3};
  const Transform& some = transform_of(columns, 4, picked);
  EXPECT_EQ(some.outputs(4), 2);
  y = x;
  some.input(chosen_isa(), y.data(), y.data());
  EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 2), (std::vector<float>{-5, 11}));
  some.original(chosen_isa(), y.data(), y.data());
  EXPECT_EQ(y, (std::vector<float>{0, -5, 0, 11}));
  EXPECT_TRUE(diagonal.takes(2, std::vector<float>{0, 2}));
  for (std::vector<float> bad : {std::vector<float>{1}, {1, -1}, {1, INFINITY}, {NAN, 1}, {1, 1e-40f}}) EXPECT_FALSE(diagonal.takes(2, bad));
  for (std::vector<float> bad : {std::vector<float>{}, {1, 1}, {2, 1}, {4}, {-1}, {0.5f}, {NAN}}) EXPECT_FALSE(columns.takes(4, bad));
}

}  // namespace
}  // namespace bitkerf
