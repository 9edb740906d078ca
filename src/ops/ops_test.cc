#include "ops/ops.h"

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "ops/kernels.h"

namespace bitkerf {
namespace {

constexpr double kEpsilon = 0x1p-24;  // half a unit in the last place of a float in [1, 2)
constexpr const OpKernels* kKernels[] = {&kOpsPortable, &kOpsAvx2, &kOpsAvx512};

std::vector<Isa> paths() {
  std::vector<Isa> list;
  for (const IsaRow& row : isas())
    if (runs(row.isa)) list.push_back(row.isa);
  return list;
}

class Ops : public ::testing::Test {
 protected:
  Threads threads_{2};
  Arena arena_{1 << 20};
  std::mt19937 random_{7};

  Context context(Isa isa) { return {threads_, arena_, isa}; }
  OwnedMatrix<float> normal(i64 rows, i64 cols, float deviation = 1) {
    OwnedMatrix<float> m(rows, cols);
    std::normal_distribution<float> draw(0, deviation);
    for (i64 r = 0; r < rows; r++)
      for (i64 c = 0; c < cols; c++) m(r, c) = draw(random_);
    return m;
  }
  OwnedMatrix<float> copy(const OwnedMatrix<float>& m) {
    OwnedMatrix<float> other(m.rows(), m.cols());
    for (i64 i = 0; i < m.rows() * m.cols(); i++) other.view().data[i] = m.view().data[i];
    return other;
  }
};

bool same_bits(Matrix<const float> a, Matrix<const float> b) {
  for (i64 r = 0; r < a.rows; r++)
    for (i64 c = 0; c < a.cols; c++)
      if (std::bit_cast<std::uint32_t>(a(r, c)) != std::bit_cast<std::uint32_t>(b(r, c))) return false;
  return true;
}

// Units in the last place of the exact result; subnormal results count in steps of 2^-149.
double error_in_units(float got, double exact) {
  int exponent;
  std::frexp(exact, &exponent);
  return std::abs(got - exact) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

using RowFunction = void (*)(const OpKernels&, const float*, i64, float*);
struct FunctionRow {
  const char* name;
  RowFunction row;
  double (*exact)(double);
  double units;  // allowed
};
constexpr FunctionRow kFunctions[] = {
    {"exp", [](const OpKernels& k, const float* x, i64 n, float* y) { k.exp(x, 0, 1, n, y); }, std::exp, 1.5},
    {"exp2", [](const OpKernels& k, const float* x, i64 n, float* y) { k.exp2(x, n, y); }, std::exp2, 1.5},
    {"tanh", [](const OpKernels& k, const float* x, i64 n, float* y) { k.tanh(x, n, y); }, std::tanh, 2.5},
};

// Every 509th float of both signs (all bit patterns would take a minute), on all paths, against double.
TEST(Lanes, FunctionsAreAccurateAndTheSameOnEveryPath) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < 0x100000000; bits += 509) {
    float value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (std::abs(value) > 0x1p-30f && std::abs(value) < 200) x.push_back(value);
  }
  for (float special : {0.0f, -0.0f, 1e-40f, HUGE_VALF, -HUGE_VALF, 88.72283f, 88.7229f, -103.9f, -104.0f, 127.99999f, 128.0f})
    x.push_back(special);
  i64 n = static_cast<i64>(x.size());
  for (const FunctionRow& f : kFunctions) {
    std::vector<float> judge(x.size()), y(x.size());
    f.row(kOpsPortable, x.data(), n, judge.data());
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); i++) {
      double exact = f.exact(x[i]);
      if (exact > 3.4028235677973366e38) EXPECT_EQ(judge[i], HUGE_VALF) << f.name << " of " << x[i];
      else worst = std::max(worst, error_in_units(judge[i], exact));
    }
    EXPECT_LT(worst, f.units) << f.name;
    for (Isa isa : paths()) {
      f.row(*kKernels[static_cast<int>(isa)], x.data(), n, y.data());
      EXPECT_TRUE(same_bits({judge.data(), 1, n}, {y.data(), 1, n})) << f.name << " on " << row_of(isa).name;
    }
    float nan = std::nanf(""), out = 0;
    for (Isa isa : paths()) {
      f.row(*kKernels[static_cast<int>(isa)], &nan, 1, &out);
      EXPECT_TRUE(std::isnan(out)) << f.name << " on " << row_of(isa).name;
    }
  }
}

TEST_F(Ops, NormsAgreeWithDouble) {
  for (i64 width : {1, 15, 16, 17, 64, 65, 96, 576, 2049}) {
    OwnedMatrix<float> x = normal(3, width, 2), delta = normal(3, width), gain = normal(1, width), bias = normal(1, width);
    OwnedMatrix<float> judge(3, width), judge_layer(3, width);
    for (Isa isa : paths()) {
      Context c = context(isa);
      OwnedMatrix<float> sum = copy(x), y(3, width), z(3, width);
      add_rms_norm(sum.view(), delta.view(), gain.view().row_span(0), 1e-5f, y.view(), c);
      layer_norm(x.view(), gain.view().row_span(0), bias.view().row_span(0), 1e-5f, z.view(), c);
      for (i64 r = 0; r < 3; r++) {
        double squares = 0, mean = 0, variance = 0, largest = 0;
        for (i64 i = 0; i < width; i++) {
          ASSERT_EQ(sum(r, i), x(r, i) + delta(r, i));
          squares += static_cast<double>(sum(r, i)) * sum(r, i);
          mean += x(r, i) / static_cast<double>(width);
          largest = std::max(largest, std::abs(static_cast<double>(x(r, i))));
        }
        for (i64 i = 0; i < width; i++) variance += (x(r, i) - mean) * (x(r, i) - mean) / static_cast<double>(width);
        // Sums of positive terms in chains of width / 64: relative error below (width / 64 + 8) units.
        double units = static_cast<double>(width) / 64 + 8;
        for (i64 i = 0; i < width; i++) {
          double exact = sum(r, i) / std::sqrt(squares / static_cast<double>(width) + 1e-5) * gain(0, i);
          EXPECT_NEAR(y(r, i), exact, std::abs(exact) * units * kEpsilon);
          double factor = 1 / std::sqrt(variance + 1e-5);
          exact = (x(r, i) - mean) * factor * gain(0, i) + bias(0, i);
          double terms = largest * factor * std::abs(gain(0, i)) + std::abs(bias(0, i));
          EXPECT_NEAR(z(r, i), exact, 2 * terms * units * kEpsilon);
        }
      }
      if (isa == Isa::portable) judge = copy(y), judge_layer = copy(z);
      EXPECT_TRUE(same_bits(judge.view(), y.view())) << row_of(isa).name;
      EXPECT_TRUE(same_bits(judge_layer.view(), z.view())) << row_of(isa).name;
      // The residual sum and the norm apart give the same, and in place does too.
      rms_norm(sum.view(), gain.view().row_span(0), 1e-5f, sum.view(), c);
      EXPECT_TRUE(same_bits(judge.view(), sum.view())) << row_of(isa).name;
    }
  }
}

TEST_F(Ops, HeadsAreNormedLikeRows) {
  for (Isa isa : paths()) {
    Context c = context(isa);
    OwnedMatrix<float> x = normal(5, 4 * 24), gain = normal(1, 24), heads = copy(x);
    Matrix<float> rows{x.view().data, 20, 24};
    rms_norm(rows, gain.view().row_span(0), 1e-6f, rows, c);
    rms_norm_heads(heads.view(), gain.view().row_span(0), 1e-6f, c);
    EXPECT_TRUE(same_bits(x.view(), heads.view()));
  }
}

TEST_F(Ops, RotaryTurnsPairs) {
  for (i64 pairs : {1, 7, 8, 12, 16, 20, 32, 128}) {
    std::vector<double> frequencies;
    for (i64 i = 0; i < pairs; i++) frequencies.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(pairs)));
    Rotary rotary(frequencies, 1.25);
    for (i64 extra : {0, 5}) {
      i64 head_dim = 2 * pairs + extra, tokens = 70, first = 100037;
      OwnedMatrix<float> x = normal(tokens, 3 * head_dim);
      for (RotaryPairs convention : {RotaryPairs::halves, RotaryPairs::neighbours}) {
        OwnedMatrix<float> judge;
        for (Isa isa : paths()) {
          Context c = context(isa);
          OwnedMatrix<float> table(tokens, 2 * pairs), y = copy(x);
          rotary.fill(first, table.view(), c);
          rotate(table.view(), convention, head_dim, y.view(), c);
          if (isa == Isa::portable) judge = copy(y);
          EXPECT_TRUE(same_bits(judge.view(), y.view())) << row_of(isa).name << " " << pairs;
          // One token alone has the same angles.
          OwnedMatrix<float> alone(1, 2 * pairs);
          rotary.fill(first + 41, alone.view(), c);
          EXPECT_TRUE(same_bits(alone.view(), table.view().sub_rows(41, 1)));
        }
        for (i64 t = 0; t < tokens; t++)
          for (i64 h = 0; h < 3; h++) {
            for (i64 i = 0; i < pairs; i++) {
              bool halves = convention == RotaryPairs::halves;
              i64 a = h * head_dim + (halves ? i : 2 * i), b = h * head_dim + (halves ? i + pairs : 2 * i + 1);
              double angle = static_cast<double>(first + t) * frequencies[static_cast<std::size_t>(i)];
              double cosine = 1.25 * std::cos(angle), sine = 1.25 * std::sin(angle);
              // An angle of 1e5 has an error of 1e5 2^-53 in double: below a float's.
              double allowed = 4 * kEpsilon * 1.25 * (std::abs(x(t, a)) + std::abs(x(t, b)));
              ASSERT_NEAR(judge(t, a), x(t, a) * cosine - x(t, b) * sine, allowed);
              ASSERT_NEAR(judge(t, b), x(t, b) * cosine + x(t, a) * sine, allowed);
            }
            for (i64 i = 2 * pairs; i < head_dim; i++) ASSERT_EQ(judge(t, h * head_dim + i), x(t, h * head_dim + i));
          }
      }
    }
  }
}

TEST_F(Ops, GatesAgreeWithDouble) {
  for (i64 width : {1, 31, 1536}) {
    OwnedMatrix<float> gate = normal(20, width, 4), up = normal(20, width), judge_silu, judge_gelu;
    gate(0, 0) = -200, gate(1, 0) = 200, gate(2, 0) = 0;
    for (Isa isa : paths()) {
      Context c = context(isa);
      OwnedMatrix<float> silu(20, width), gelu(20, width);
      silu_gate(gate.view(), up.view(), silu.view(), c);
      gelu_gate(gate.view(), up.view(), gelu.view(), c);
      if (isa == Isa::portable) judge_silu = copy(silu), judge_gelu = copy(gelu);
      EXPECT_TRUE(same_bits(judge_silu.view(), silu.view())) << row_of(isa).name;
      EXPECT_TRUE(same_bits(judge_gelu.view(), gelu.view())) << row_of(isa).name;
    }
    for (i64 r = 0; r < 20; r++)
      for (i64 i = 0; i < width; i++) {
        double g = gate(r, i), exact = g / (1 + std::exp(-g)) * up(r, i);
        EXPECT_NEAR(judge_silu(r, i), exact, 6 * kEpsilon * std::abs(exact) + 0x1p-148);
        double u = std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
        exact = 0.5 * g * (1 + std::tanh(u)) * up(r, i);
        // e^(-2u) carries the rounding of its argument: |2u| units.
        double allowed = (8 + 8 * std::abs(u)) * kEpsilon * std::abs(exact) + 1e-14 * std::abs(g * up(r, i));
        EXPECT_NEAR(judge_gelu(r, i), exact, allowed + 0x1p-148) << g;
      }
  }
}

TEST_F(Ops, SimpleOnesAreExact) {
  OwnedMatrix<float> x = normal(40, 577, 30), delta = normal(40, 577), capped;
  for (Isa isa : paths()) {
    Context c = context(isa);
    OwnedMatrix<float> sum = copy(x), biased = copy(x), scaled = copy(x), cap = copy(x);
    add(sum.view(), delta.view(), c);
    add_bias(biased.view(), delta.view().row_span(3), c);
    scale(scaled.view(), 1.7f, c);
    softcap(cap.view(), 30, c);
    if (isa == Isa::portable) capped = copy(cap);
    EXPECT_TRUE(same_bits(capped.view(), cap.view()));
    for (i64 r = 0; r < 40; r++)
      for (i64 i = 0; i < 577; i++) {
        ASSERT_EQ(sum(r, i), x(r, i) + delta(r, i));
        ASSERT_EQ(biased(r, i), x(r, i) + delta(3, i));
        ASSERT_EQ(scaled(r, i), x(r, i) * 1.7f);
        ASSERT_NEAR(cap(r, i), 30 * std::tanh(x(r, i) / 30.0), 30 * 6 * kEpsilon);
      }
  }
}

TEST_F(Ops, VocabularySums) {
  for (i64 n : {1, 5, 16, 63, 64, 49155}) {
    OwnedMatrix<float> x = normal(1, n, 5), judge(1, n);
    double all = 0;
    for (i64 i = 0; i < n; i++) all += std::exp(static_cast<double>(x(0, i)));
    for (Isa isa : paths()) {
      // Each term within 2 units, and so the sum; the logarithm turns that into an absolute error.
      EXPECT_NEAR(log_sum_exp(x.view().row_span(0), isa), std::log(all), 4 * kEpsilon);
      OwnedMatrix<float> logs(1, n), y(1, n);
      log_softmax(x.view().row_span(0), logs.view().row_span(0), isa);
      softmax(x.view().row_span(0), y.view().row_span(0), isa);
      if (isa == Isa::portable) judge = copy(y);
      EXPECT_TRUE(same_bits(judge.view(), y.view()));
      for (i64 i = 0; i < n; i++) {
        double exact = x(0, i) - std::log(all);
        ASSERT_NEAR(logs(0, i), exact, (4 + std::abs(exact)) * kEpsilon);
        ASSERT_NEAR(y(0, i), std::exp(exact), (8 + 2 * std::abs(exact)) * kEpsilon * std::exp(exact));
      }
    }
  }
  std::vector<float> x(100, 1.0f);
  x[0] = std::nanf(""), x[70] = x[80] = 2;
  EXPECT_EQ(argmax(x), 70);
  x[99] = HUGE_VALF;
  EXPECT_EQ(argmax(x), 99);
  x.assign(40, -HUGE_VALF);
  EXPECT_EQ(argmax(x), 0);
  x.assign(40, std::nanf(""));
  EXPECT_EQ(argmax(x), 0);
  EXPECT_EQ(argmax(std::span(x).first(1)), 0);
}

}  // namespace
}  // namespace bitkerf
