#include "compress/plan/forest.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "core/buffer.h"
#include "core/error.h"

namespace bitkerf {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Data {
  OwnedMatrix<float> x;
  std::vector<float> y;
};

// Six samples of two features. By hand: y is 0 for x0 <= 2 and about 10 above it, so the root splits x0 at 2.5; the right
// side (10, 10, 16) splits at x0 = 4.5.
Data toy() {
  Data d{OwnedMatrix<float>(6, 2), {0, 0, 0, 10, 10, 16}};
  const float x[6][2] = {{0, 3}, {1, 9}, {2, 4}, {3, 1}, {4, 5}, {5, 6}};
  for (i64 i = 0; i < 6; i++)
    for (i64 f = 0; f < 2; f++) d.x(i, f) = x[i][f];
  return d;
}

void expect_nodes(const Forest::Tree& tree, std::vector<Forest::Node> nodes, std::vector<float> values) {
  ASSERT_EQ(tree.nodes.size(), nodes.size());
  for (std::size_t i = 0; i < nodes.size(); i++) {
    EXPECT_EQ(tree.nodes[i].threshold, nodes[i].threshold) << i;
    EXPECT_EQ(tree.nodes[i].feature, nodes[i].feature) << i;
    EXPECT_EQ(tree.nodes[i].left, nodes[i].left) << i;
    EXPECT_FLOAT_EQ(tree.values[i], values[i]) << i;
  }
}

TEST(Forest, TreeOfAToySetIsTheHandMadeOne) {
  Data d = toy();
  Threads threads(1);
  Forest forest = Forest::train(d.x.view(), d.y, {.trees = 1, .depth = 2, .features = 1, .bootstrap = false}, threads);
  // Both features part {10, 10} from {16} equally well: x0 at 4.5 and x1 at 5.5. The first feature is kept.
  expect_nodes(forest.trees()[0],
               {{2.5f, 0, 1}, {kInf, 0, 1}, {4.5f, 0, 3}, {kInf, 0, 3}, {kInf, 0, 4}}, {6, 0, 12, 10, 16});
  std::vector<Prediction> out(6);
  forest.predict(d.x.view(), out, threads);
  const float want[] = {0, 0, 0, 10, 10, 16};
  for (std::size_t i = 0; i < 6; i++) {
    EXPECT_EQ(out[i].mean, want[i]);
    EXPECT_EQ(out[i].spread, 0);
  }
}

// The same trees, grown as slowly and plainly as can be.
struct Plain {
  const Data& data;
  ForestOptions options;
  Forest::Tree tree = {};

  void grow(const std::vector<i64>& samples, int depth, std::size_t node) {
    double sum = 0;
    for (i64 s : samples) sum += data.y[static_cast<std::size_t>(s)];
    tree.values[node] = static_cast<float>(sum / static_cast<double>(samples.size()));
    if (depth == options.depth) return;
    double best = sum * sum / static_cast<double>(samples.size()) + 1e-9;
    int feature = -1;
    float threshold = 0;
    for (int f = 0; f < data.x.cols(); f++) {
      std::vector<float> values;
      for (i64 s : samples) values.push_back(data.x(s, f));
      std::sort(values.begin(), values.end());
      values.erase(std::unique(values.begin(), values.end()), values.end());
      for (std::size_t v = 0; v + 1 < values.size(); v++) {
        double left = 0, count = 0;
        for (i64 s : samples)
          if (data.x(s, f) <= values[v]) left += data.y[static_cast<std::size_t>(s)], count++;
        double gain = left * left / count + (sum - left) * (sum - left) / (static_cast<double>(samples.size()) - count);
        if (gain > best) best = gain, feature = f, threshold = values[v] + (values[v + 1] - values[v]) / 2;
      }
    }
    if (feature < 0) return;
    std::size_t left = add();
    add();
    tree.nodes[node] = {threshold, static_cast<std::uint16_t>(feature), static_cast<std::uint16_t>(left)};
    std::vector<i64> sides[2];
    for (i64 s : samples) sides[data.x(s, feature) > threshold].push_back(s);
    grow(sides[0], depth + 1, left);
    grow(sides[1], depth + 1, left + 1);
  }
  std::size_t add() {
    std::size_t node = tree.nodes.size();
    tree.nodes.push_back({kInf, 0, static_cast<std::uint16_t>(node)});
    tree.values.push_back(0);
    return node;
  }
};

TEST(Forest, TreesOfBootstrapSamplesAreThoseOfAPlainSearch) {
  Data d{OwnedMatrix<float>(40, 3), {}};
  std::mt19937 random(3);
  for (i64 i = 0; i < 40; i++) {
    for (i64 f = 0; f < 3; f++) d.x(i, f) = static_cast<float>(random() % 16);
    // Integers of odd size: sums are exact, and no two splits are equally good by accident.
    d.y.push_back(static_cast<float>(d.x(i, 0) * 37 + d.x(i, 1) * d.x(i, 2) + static_cast<float>(random() % 1009)));
  }
  ForestOptions options{.trees = 2, .depth = 5, .features = 1, .bootstrap = true, .seed = 7};
  Threads threads(2);
  Forest forest = Forest::train(d.x.view(), d.y, options, threads);
  for (int t = 0; t < 2; t++) {
    Plain plain{d, options};
    plain.add();
    plain.grow(Forest::sample(40, options, t), 0, 0);
    expect_nodes(forest.trees()[static_cast<std::size_t>(t)], plain.tree.nodes, plain.tree.values);
  }
  EXPECT_NE(forest.trees()[0].values[0], forest.trees()[1].values[0]);
}

Data smooth(i64 count, i64 features) {
  Data d{OwnedMatrix<float>(count, features), {}};
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (i64 i = 0; i < count; i++) {
    for (i64 f = 0; f < features; f++) d.x(i, f) = uniform(random);
    d.y.push_back(std::sin(6 * d.x(i, 0)) + d.x(i, 1) * d.x(i, 2));
  }
  return d;
}

TEST(Forest, LearnsASmoothFunctionAndSaysWhereItIsUnsure) {
  Data d = smooth(2000, 5), test = smooth(3000, 5);
  Threads one(1), three(3);
  Forest forest = Forest::train(d.x.view(), d.y, {}, one);
  EXPECT_EQ(Forest::train(d.x.view(), d.y, {}, three).to_bytes(), forest.to_bytes());
  std::vector<Prediction> out(3000), again(3000);
  forest.predict(test.x.view(), out, one);
  forest.predict(test.x.view(), again, three);
  double error = 0, mean = 0, variance = 0;
  for (std::size_t i = 2000; i < 3000; i++) mean += test.y[i] / 1000;
  for (std::size_t i = 2000; i < 3000; i++) {
    error += std::pow(out[i].mean - test.y[i], 2);
    variance += std::pow(test.y[i] - mean, 2);
    EXPECT_EQ(out[i].mean, again[i].mean);
    EXPECT_GE(out[i].spread, 0);
  }
  EXPECT_GT(1 - error / variance, 0.97);  // R^2 of samples it has not seen
}

TEST(Forest, BytesHoldAllOfItAndDamageIsAFaultOfTheFile) {
  Data d = smooth(60, 3);
  Threads threads(1);
  Forest forest = Forest::train(d.x.view(), d.y, {.trees = 3, .depth = 4}, threads);
  std::string bytes = forest.to_bytes();
  EXPECT_EQ(Forest::from_bytes(bytes).to_bytes(), bytes);
  auto refused = [](const std::string& damaged) {
    try {
      Forest::from_bytes(damaged);
      return false;
    } catch (const Error& e) {
      return e.fault() == Fault::file;
    }
  };
  for (std::size_t i = 0; i < bytes.size(); i++) EXPECT_TRUE(refused(bytes.substr(0, i))) << i;
  EXPECT_TRUE(refused(bytes + "x"));
  // Whatever the bytes say, a walk stays inside the tree.
  std::vector<Prediction> out(60);
  for (std::size_t i = 0; i < bytes.size(); i++) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    try {
      Forest changed = Forest::from_bytes(damaged);
      if (changed.features() == 3) changed.predict(d.x.view(), out, threads);
    } catch (const Error& e) {
      EXPECT_EQ(e.fault(), Fault::file);
    }
  }
}

}  // namespace
}  // namespace bitkerf
