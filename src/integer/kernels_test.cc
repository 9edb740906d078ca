// Integer kernels against arithmetic in double, and all instruction sets against the portable one.
#include <cmath>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "core/cpu.h"
#include "integer/execute/decoder.h"
#include "integer/execute/panels.h"
#include "integer/prepare/tables.h"

namespace bitkerf {
namespace {

template <class T>
std::vector<T> random_values(std::mt19937& random, i64 n, i64 most) {
  std::uniform_int_distribution<i64> draw(-most, most);
  std::vector<T> values;
  for (i64 i = 0; i < n; i++) values.push_back(static_cast<T>(draw(random)));
  return values;
}

// Calls test(kernels) for every instruction set of this processor.
template <class Test>
void on_every_isa(Test&& test) {
  for (const IsaRow& row : isas()) {
    if (!runs(row.isa)) continue;
    SCOPED_TRACE(row.name);
    test(integer_kernels(row.isa));
  }
}

TEST(IntegerKernels, ProductsAreExact) {
  std::mt19937 random(1);
  Threads threads(2);
  for (i64 rows : {1, 31, 32, 33, 100})
    for (i64 cols : {1, 4, 30, 64, 577})
      for (i64 tokens : {1, 2, 3, 8, 9, 40}) {
        IntegerPanels panels(rows, cols);
        std::vector<int> codes = random_values<int>(random, rows * cols, 127);
        for (i64 r = 0; r < rows; r++)
          for (i64 c = 0; c < cols; c++) panels.set(r, c, codes[static_cast<std::size_t>(r * cols + c)]);
        const i64 stride = round_up<i64>(cols, 4);
        std::vector<std::int8_t> x = random_values<std::int8_t>(random, tokens * stride, 127);
        for (std::int8_t extreme : {std::int8_t{0}, std::int8_t{-128}, std::int8_t{127}}) {
          if (extreme != 0) std::fill(x.begin(), x.end(), extreme);
          on_every_isa([&](const IntegerKernels& k) {
            OwnedMatrix<std::int32_t> y(tokens, round_up<i64>(rows, kIntegerRows));
            multiply_panels(panels, {x.data(), tokens, stride}, y.view(), k, threads);
            for (i64 t = 0; t < tokens; t++)
              for (i64 r = 0; r < rows; r++) {
                i64 sum = 0;
                for (i64 c = 0; c < cols; c++) sum += codes[static_cast<std::size_t>(r * cols + c)] * x[static_cast<std::size_t>(t * stride + c)];
                ASSERT_EQ(y(t, r), sum) << rows << " " << cols << " " << tokens;
              }
          });
        }
      }
}

TEST(IntegerKernels, DyadicFactorsRoundToNearest) {
  std::mt19937 random(2);
  for (double factor : {1.0, 0.3, 1e-4, 7.7e-9, 12345.678, 1e-16}) {
    std::vector<double> factors(100, factor);
    factors[7] = factor / 1000;
    DyadicRow row = dyadic_row(factors);
    std::vector<std::int32_t> x = random_values<std::int32_t>(random, 100, 0x7fffffff), y(100), first(100);
    x[0] = 0x7fffffff, x[1] = -0x7fffffff, x[2] = -0x7fffffff - 1;
    bool seen = false;
    on_every_isa([&](const IntegerKernels& k) {
      k.rescale(x.data(), row.multipliers.data(), row.shift, 1 << 30, 100, y.data());
      for (std::size_t i = 0; i < y.size(); i++) {
        double exact = std::clamp(x[i] * factors[i], -0x1p30, 0x1p30);
        ASSERT_NEAR(y[i], exact, 0.5 + std::fabs(exact) * 0x1p-30 + std::fabs(x[i]) * std::ldexp(1.0, -row.shift)) << factor;
      }
      if (seen) { EXPECT_EQ(y, first); }
      first = y, seen = true;
    });
  }
}

TEST(IntegerKernels, WideSumsAreRescaledExactly) {
  const std::int32_t high[] = {1 << 25, -(1 << 25), 3, 0}, low[] = {1 << 25, -(1 << 25), -100, 129}, m[] = {0x7fffffff, 0x7fffffff, 1 << 30, 1 << 30};
  on_every_isa([&](const IntegerKernels& k) {
    std::int32_t y[4];
    k.rescale_wide(high, low, m, 35, 1 << 30, 4, y);
    for (int i = 0; i < 4; i++) {
      double exact = (256.0 * high[i] + low[i]) * m[i] * 0x1p-35;
      EXPECT_EQ(y[i], static_cast<std::int32_t>(std::floor(exact + 0.5)));
    }
  });
}

TEST(IntegerKernels, NormalizeGivesUnitVectors) {
  std::mt19937 random(3);
  for (i64 n : {1, 2, 63, 576, 4096})
    for (i64 most : {i64{1}, i64{40}, i64{1} << 16, i64{1} << 30}) {
      std::vector<std::int32_t> x = random_values<std::int32_t>(random, n, most), first;
      x[0] = static_cast<std::int32_t>(most);
      double squares = 0;
      for (std::int32_t v : x) squares += static_cast<double>(v) * v;
      for (i64 epsilon : {i64{0}, most * most / 4}) {
        first.clear();
        on_every_isa([&](const IntegerKernels& k) {
          std::vector<std::int32_t> z(x.size());
          k.normalize(x.data(), epsilon, n, z.data());
          for (std::size_t i = 0; i < z.size(); i++)
            ASSERT_NEAR(z[i] * 0x1p-30, x[i] / std::sqrt(squares + static_cast<double>(epsilon)), 0x1p-20) << n << " " << most;
          if (!first.empty()) { EXPECT_EQ(z, first); }
          first = z;
        });
      }
    }
  on_every_isa([&](const IntegerKernels& k) {  // nothing divides by zero
    std::int32_t x[3] = {}, z[3] = {1, 1, 1};
    k.normalize(x, 0, 3, z);
    for (std::int32_t v : z) EXPECT_EQ(v, 0);
  });
}

TEST(IntegerKernels, CenterTakesTheMeanAway) {
  std::mt19937 random(4);
  for (i64 n : {1, 7, 384}) {
    std::vector<std::int32_t> x = random_values<std::int32_t>(random, n, 1 << 29);
    double mean = 0;
    for (std::int32_t v : x) mean += v / static_cast<double>(n);
    on_every_isa([&](const IntegerKernels& k) {
      std::vector<std::int32_t> y = x;
      k.center(y.data(), n);
      for (std::size_t i = 0; i < y.size(); i++) ASSERT_NEAR(y[i], x[i] - mean, 0.51);
    });
  }
}

TEST(IntegerKernels, SoftmaxIsWithinAFewUnits) {
  std::mt19937 random(5);
  Buffer<std::int32_t> powers = power_table();
  for (i64 n : {1, 2, 50, 3000})
    for (double factor : {1e-3, 0.3, 20.0}) {
      std::vector<std::int32_t> scores = random_values<std::int32_t>(random, n, 1 << 20);
      Dyadic scale = dyadic(factor);
      std::vector<double> weights;
      double sum = 0, largest = *std::max_element(scores.begin(), scores.end());
      for (std::int32_t s : scores) sum += weights.emplace_back(std::exp2((s - largest) * factor / 65536));
      std::vector<std::int16_t> first;
      on_every_isa([&](const IntegerKernels& k) {
        std::vector<std::int32_t> own = scores;
        std::vector<std::int16_t> p(scores.size());
        k.softmax(own.data(), scale, powers.data(), n, p.data());
        for (std::size_t i = 0; i < p.size(); i++) ASSERT_NEAR(p[i], std::min(32768 * weights[i] / sum, 32767.0), 1.2) << n << " " << factor;
        if (!first.empty()) { EXPECT_EQ(p, first); }
        first = p;
      });
    }
}

TEST(IntegerKernels, GatesFollowTheirFunctions) {
  struct { double (*f)(double); } const gates[] = {{logistic}, {normal_distribution}};
  for (const auto& gate : gates) {
    Buffer<std::int32_t> table = gate_table(gate.f);
    std::vector<std::int32_t> x;
    for (i64 v = -(20 << 16); v <= 20 << 16; v += 997) x.push_back(static_cast<std::int32_t>(v));
    for (std::int32_t v : {1 << 27, -(1 << 27), 16 << 16, -(16 << 16), 0}) x.push_back(v);
    std::vector<std::int32_t> first;
    on_every_isa([&](const IntegerKernels& k) {
      std::vector<std::int32_t> y(x.size());
      k.gate(x.data(), table.data(), static_cast<i64>(x.size()), y.data());
      for (std::size_t i = 0; i < y.size(); i++) {
        double at = x[i] * 0x1p-16, exact = at * gate.f(at);
        // Interpolation: (1/64)^2 / 8 of a second derivative of at most 1/4; the table's rounding; beyond the ends, f(16) for f.
        ASSERT_NEAR(y[i] * 0x1p-16, exact, std::fabs(at) * (8e-6 + 0x1p-20) + 0x1p-16) << at;
      }
      if (!first.empty()) { EXPECT_EQ(y, first); }
      first = y;
    });
  }
}

TEST(IntegerKernels, RotationTurnsPairs) {
  std::mt19937 random(6);
  std::vector<std::int32_t> x = random_values<std::int32_t>(random, 20, 32000);
  std::vector<std::int16_t> table, first;
  for (int i = 0; i < 8; i++) {
    table.push_back(static_cast<std::int16_t>(std::lround(16384 * std::cos(i))));
    table.push_back(static_cast<std::int16_t>(std::lround(16384 * std::sin(i))));
  }
  on_every_isa([&](const IntegerKernels& k) {
    std::vector<std::int16_t> y(20);
    k.rotate(table.data(), x.data(), 8, 20, 4095, y.data());
    for (std::size_t i = 0; i < 8; i++) {
      double c = std::cos(i), s = std::sin(i);
      EXPECT_NEAR(y[i], std::clamp((x[i] * c - x[i + 8] * s) / 8, -4095.0, 4095.0), 0.8);
      EXPECT_NEAR(y[i + 8], std::clamp((x[i + 8] * c + x[i] * s) / 8, -4095.0, 4095.0), 0.8);
    }
    for (std::size_t i = 16; i < 20; i++) EXPECT_NEAR(y[i], x[i] / 8.0, 0.51);
    if (!first.empty()) { EXPECT_EQ(y, first); }
    first = y;
  });
}

// The rest: exact, so equal to plain arithmetic.
TEST(IntegerKernels, SmallLoops) {
  std::mt19937 random(7);
  constexpr i64 n = 77;
  auto x = random_values<std::int32_t>(random, n, 32512), big = random_values<std::int32_t>(random, n, 1 << 30), other = random_values<std::int32_t>(random, n, 1 << 27);
  auto q = random_values<std::int16_t>(random, n, 4095), keys = random_values<std::int16_t>(random, 5 * n, 4095);
  auto bytes = random_values<std::int8_t>(random, 2 * n, 127);
  std::vector<std::uint8_t> nibbles(512), codes(1024);
  for (std::uint8_t& b : nibbles) b = static_cast<std::uint8_t>(random());
  std::vector<i64> first;
  on_every_isa([&](const IntegerKernels& k) {
    std::vector<i64> all;
    auto keep = [&](auto&& values) { for (auto value : values) all.push_back(value); };
    std::vector<std::int8_t> high(n), low(n);
    k.split(x.data(), n, high.data(), low.data());
    for (std::size_t i = 0; i < n; i++) EXPECT_EQ(256 * high[i] + low[i], x[i]);
    std::vector<std::int32_t> sum = big, product(n), out(5);
    k.add(sum.data(), big.data(), n);
    for (std::size_t i = 0; i < n; i++) EXPECT_EQ(sum[i], std::clamp<i64>(2 * i64{big[i]}, -(1 << 30), 1 << 30));
    k.multiply(other.data(), x.data(), n, product.data());
    for (std::size_t i = 0; i < n; i++) EXPECT_EQ(product[i], (i64{other[i]} * x[i] + 32768) >> 16);
    k.dots(q.data(), keys.data(), n, 5, n, out.data());
    for (std::size_t j = 0; j < 5; j++) {
      i64 dot = 0;
      for (std::size_t i = 0; i < n; i++) dot += q[i] * keys[j * n + i];
      EXPECT_EQ(out[j], dot);
    }
    std::vector<std::int32_t> mixed(n);
    k.weigh(q.data(), keys.data(), n, 5, n, mixed.data());
    for (std::size_t i = 0; i < n; i++) {
      i64 dot = 0;
      for (std::size_t j = 0; j < 5; j++) dot += q[j] * keys[j * n + i];
      EXPECT_EQ(mixed[i], dot);
    }
    EXPECT_EQ(k.dot_bytes(bytes.data(), bytes.data() + n, n), [&] { i64 d = 0; for (std::size_t i = 0; i < n; i++) d += bytes[i] * bytes[i + n]; return d; }());
    k.unpack(nibbles.data(), 512, codes.data());
    for (std::size_t i = 0; i < 512; i++) {
      EXPECT_EQ(codes[i], (nibbles[i] & 15) + 120);
      EXPECT_EQ(codes[i + 512], (nibbles[i] >> 4) + 120);
    }
    std::vector<std::int8_t> blocks(64), exponents(2), shifts(64);
    k.to_blocks(big.data(), -20, 64, blocks.data(), exponents.data());
    for (std::size_t i = 0; i < 64; i++) EXPECT_NEAR(blocks[i] * std::ldexp(1.0, exponents[i / 32] + 20), big[i], std::ldexp(1.0, exponents[i / 32] + 20) * (std::abs(blocks[i]) == 127 ? 1.0 : 0.5));
    std::vector<i64> sums(64, 5);
    for (std::size_t i = 0; i < 64; i++) shifts[i] = static_cast<std::int8_t>(static_cast<int>(i) - 40);
    k.add_shifted(big.data(), shifts.data(), 3, 64, sums.data());
    for (std::size_t i = 0; i < 64; i++) EXPECT_NEAR(static_cast<double>(sums[i] - 5), std::ldexp(big[i], shifts[i] + 3), 0.5);
    keep(blocks), keep(exponents), keep(sums), keep(mixed);
    if (!first.empty()) { EXPECT_EQ(all, first); }
    first = all;
  });
}

}  // namespace
}  // namespace bitkerf
