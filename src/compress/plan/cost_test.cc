#include "compress/plan/cost.h"

#include <chrono>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "compress/plan/cost_table.h"
#include "compress/plan/timing.h"
#include "core/error.h"

namespace bitkerf {
namespace {

Probe machine() {
  return {"a machine", Isa::portable, 2, 0,
          {{"read.memory", "B/s", 1, 1e10, 0}, {"read.memory", "B/s", 2, 1.5e10, 0}, {"read.l2", "B/s", 1, 1e11, 0},
           {"read.l3", "B/s", 1, 5e10, 0}, {"rate.int8_dot", "op/s", 1, 1e12, 0}, {"rate.int8_dot", "op/s", 2, 2e12, 0},
           {"rate.f32_fma", "op/s", 1, 2e11, 0}, {"rate.binary_dot", "op/s", 1, 5e12, 0}, {"join", "s", 2, 1e-7, 0}}};
}

Work work(std::string kernel, i64 rows, i64 cols, i64 tokens, int bits = 4, int activation_bits = 8) {
  Work w;
  w.kernel = std::move(kernel);
  w.format = std::to_string(bits);
  w.activation = std::to_string(activation_bits);
  w.weight_bits = bits;
  w.weight_group = w.activation_group = 32;
  w.activation_bits = activation_bits;
  w.tile_tokens = 6;
  w.rows = rows, w.cols = cols, w.tokens = tokens;
  w.bytes = static_cast<double>(rows * cols * bits / 8);
  return w;
}

TEST(Cost, RooflineIsTheSlowerOfArithmeticAndMemory) {
  Probe probe = machine();
  Work decode = work("a/expand", 4096, 4096, 1), prefill = work("a/expand", 4096, 4096, 512);
  decode.cold = true;
  double call = 2e-7 + 4096 * 4 / 1e11;
  EXPECT_NEAR(roofline_seconds(decode, probe), 4096.0 * 4096 / 2 / 1e10 + call, 1e-9);
  EXPECT_NEAR(roofline_seconds(prefill, probe), 2.0 * 4096 * 4096 * 512 / 1e12 + 2e-7 + 512 * 4096 * 4 / 1e11, 1e-9);
  prefill.threads = 2;
  EXPECT_NEAR(roofline_seconds(prefill, probe), 2.0 * 4096 * 4096 * 512 / 2e12 + 3e-7 + 512 * 4096 * 4 / 1e11, 1e-9);
  // Planes: two bits times two are four binary products.
  Work planes = work("a/popcount", 1024, 1024, 512, 2, 2), floats = work("a/float", 1024, 1024, 512, 32, 32);
  EXPECT_NEAR(roofline_seconds(planes, probe), 4 * 2.0 * 1024 * 1024 * 512 / 5e12 + 2e-7 + 512 * 1024 * 4 / 1e11, 1e-9);
  EXPECT_NEAR(roofline_seconds(floats, probe), 2.0 * 1024 * 1024 * 512 / 2e11 + 2e-7 + 512 * 1024 * 4 / 1e11, 1e-9);
}

// Two kernels whose inefficiency is a known function of the shape: the model finds which is faster for shapes it has not
// seen, though a roofline cannot tell.
std::vector<TimedWork> made_up(i64 count) {
  std::vector<TimedWork> rows;
  std::mt19937 random(1);
  Probe probe = machine();
  for (i64 i = 0; i < count; i++) {
    i64 n = 64 << random() % 6, k = 64 << random() % 6, m = 1 << random() % 9;
    n += static_cast<i64>(random() % 64), k += static_cast<i64>(random() % 64);
    for (int kernel = 0; kernel < 2; kernel++) {
      Work w = work(kernel ? "a/many" : "a/few", n, k, m);
      double factor = kernel ? 1.2 + 40.0 / static_cast<double>(m) : 1.1 + 0.1 * static_cast<double>(m);
      rows.push_back({w, roofline_seconds(w, probe) * factor});
    }
  }
  return rows;
}

TEST(Cost, ShapesThatWereHeldOutArePredictedAndTheRightKernelIsChosen) {
  std::vector<TimedWork> rows = made_up(400);
  Threads threads(2);
  Evaluation e = evaluate(rows, machine(), 5, {.features = 1}, threads);
  EXPECT_LT(e.error.median, 0.03);
  EXPECT_GT(e.r2, 0.98);
  EXPECT_GT(e.rank_correlation, 0.99);
  EXPECT_GT(e.shapes, 380);
  EXPECT_LT(e.one_format.forest.p95, 1.01);
  EXPECT_GT(e.one_format.fixed.p95, 2);
  // No shape in two parts.
  for (std::size_t i = 0; i < rows.size(); i += 2) EXPECT_EQ(e.fold[i], e.fold[i + 1]);
}

TEST(Cost, ModelAndTableAreTheSameAfterWritingAndReading) {
  std::vector<TimedWork> rows = made_up(30);
  Probe probe = machine();
  std::string csv = to_csv(rows, probe);
  std::vector<TimedWork> again = from_csv(csv + csv.substr(0, csv.find('\n') + 1) + "\n");
  ASSERT_EQ(again.size(), rows.size());
  EXPECT_EQ(to_csv(again, probe), csv);
  EXPECT_EQ(again[7].work.kernel, rows[7].work.kernel);
  EXPECT_NEAR(again[7].seconds, rows[7].seconds, 1e-4 * rows[7].seconds);

  EXPECT_THROW(from_csv("x" + csv), Error);  // no column of that name

  Threads threads(1);
  CostModel model = CostModel::train(rows, probe, {.trees = 5}, threads);
  std::string bytes = model.to_bytes();
  CostModel copy = CostModel::from_bytes(bytes);
  std::vector<Work> works = {rows[0].work, rows[5].work};
  EXPECT_EQ(copy.estimate(works, threads)[1].seconds, model.estimate(works, threads)[1].seconds);
  EXPECT_TRUE(copy.knows("a/few"));
  EXPECT_FALSE(copy.knows("a/other"));
  for (std::size_t i = 0; i < bytes.size(); i += 1 + i / 50) EXPECT_THROW(CostModel::from_bytes(std::string_view(bytes).substr(0, i)), Error);
  EXPECT_THROW(CostModel::from_bytes(bytes + "x"), Error);
}

TEST(Cost, TimesAreMovedToTheFiguresOfTheProbeAndTheLeastCounts) {
  Probe probe = machine(), slow = probe;
  for (Figure& figure : slow.figures)
    if (figure.name == "read.memory") figure.value /= 2;
  Work w = work("a/b", 4096, 4096, 1);
  w.cold = true;
  double here = roofline_seconds(w, probe), there = roofline_seconds(w, slow);
  ASSERT_GT(there, 1.9 * here);
  std::vector<TimedWork> rows = {{w, 3 * there, there}, {w, 2 * here, here}, {w, 2.5 * here, 0}, {work("a/c", 1, 1, 1), 1, 0}};
  std::vector<TimedWork> settled = settle(rows, probe);
  ASSERT_EQ(settled.size(), 2u);
  EXPECT_DOUBLE_EQ(settled[0].seconds, 2 * here);
  EXPECT_DOUBLE_EQ(settle(std::span(rows).first(1), probe)[0].seconds, 3 * here);

  Threads threads(1);
  CostModel model = CostModel::train(settled, probe, {.trees = 3}, threads);
  EXPECT_DOUBLE_EQ(model.estimate({&w, 1}, slow, threads)[0].seconds, model.estimate({&w, 1}, threads)[0].seconds * there / here);
}

TEST(Cost, DamagedTablesAreFaultsOfTheFile) {
  std::string csv = to_csv(made_up(2), machine());
  EXPECT_THROW(from_csv("kernel,format\na,b\n"), Error);
  EXPECT_THROW(from_csv(csv + "a/few,4\n"), Error);
  std::size_t cell = csv.find("a/few");
  std::string text = csv;
  text.replace(text.find(",4,32,", cell), 6, ",-4,32,");
  EXPECT_THROW(from_csv(text), Error);
  text = csv;
  text.replace(text.find(",4,32,", cell), 6, ",x,32,");
  EXPECT_THROW(from_csv(text), Error);
  EXPECT_EQ(from_csv("").size(), 0u);
}

TEST(Timing, RandomWeightsRepeatAndTimesArePositive) {
  NumberFormat format = parse_number_format("uint4.g32");
  Quantized q = random_weights(format, {70, 96});
  EXPECT_EQ(q.shape(), (Shape{70, 96}));
  for (i64 c = 0; c < 96; c++) EXPECT_EQ(q.weight(69, c), q.weight(5, c));
  Threads threads(2);
  ProductTimer timer(chosen_isa(), 128, 128, 8);
  for (const FormRow& form : forms()) {
    if (!form.pack || !form.holds_format(format)) continue;
    auto linear = form.pack(q, usual_input(form, format), threads);
    for (bool cold : {false, true}) {
      double seconds = timer.seconds(*linear, 8, cold, threads, "");
      EXPECT_GT(seconds, 1e-8);
      EXPECT_LT(seconds, 1);
    }
  }
}

}  // namespace
}  // namespace bitkerf
