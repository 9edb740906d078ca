#include "compress/plan/forest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace bitkerf {
namespace {

// SplitMix64 (Steele, Lea, Flood, 2014): a stream per tree, the same everywhere, unlike the distributions of <random>.
struct Random {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  i64 below(i64 n) { return static_cast<i64>(next() % static_cast<std::uint64_t>(n)); }
};

Random random_of(const ForestOptions& options, int tree) {
  Random random{options.seed};
  random.state += random.next() ^ static_cast<std::uint64_t>(tree) << 32;
  return random;
}

struct Split {
  int feature = -1;
  i64 at = 0;  // samples that go left, in the feature's order
  float threshold = 0;
  double gain = 0;
};

// Grows one tree. Every feature keeps the samples of a node in a range of its own order, so that splits need one pass
// over sorted values and no sort: O(depth x samples x features).
class Grower {
 public:
  Grower(Matrix<const float> x, std::span<const float> y, const std::vector<std::vector<std::int32_t>>& orders,
         const ForestOptions& options, int tree)
      : x_(x), y_(y), options_(options), weight_(static_cast<std::size_t>(x.rows), 0), goes_left_(weight_.size()),
        random_(random_of(options, tree)), candidates_(static_cast<std::size_t>(x.cols)) {
    for (i64 s : Forest::sample(x.rows, options, tree)) weight_[static_cast<std::size_t>(s)]++;
    orders_.resize(orders.size());
    for (std::size_t f = 0; f < orders.size(); f++)
      for (std::int32_t s : orders[f])
        if (weight_[static_cast<std::size_t>(s)] > 0) orders_[f].push_back(s);
    std::iota(candidates_.begin(), candidates_.end(), 0);
    tried_ = std::clamp(static_cast<int>(std::lround(options.features * static_cast<double>(x.cols))), 1, static_cast<int>(x.cols));
  }

  Forest::Tree grow() {
    add_node();
    grow_node(0, 0, static_cast<i64>(orders_[0].size()), 0);
    return std::move(tree_);
  }

 private:
  void add_node() {
    tree_.nodes.push_back({std::numeric_limits<float>::infinity(), 0, static_cast<std::uint16_t>(tree_.nodes.size())});
    tree_.values.push_back(0);
  }

  double weight(std::int32_t s) const { return weight_[static_cast<std::size_t>(s)]; }

  void grow_node(std::size_t node, i64 first, i64 last, int depth) {
    double count = 0, sum = 0;
    for (i64 i = first; i < last; i++) {
      std::int32_t s = orders_[0][static_cast<std::size_t>(i)];
      count += weight(s);
      sum += weight(s) * y_[static_cast<std::size_t>(s)];
    }
    tree_.values[node] = static_cast<float>(sum / count);
    if (depth == options_.depth || tree_.nodes.size() + 2 > std::numeric_limits<std::uint16_t>::max()) return;
    Split best = best_split(first, last, count, sum);
    if (best.feature < 0) return;

    const auto& order = orders_[static_cast<std::size_t>(best.feature)];
    for (i64 i = first; i < last; i++) goes_left_[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] = i < first + best.at;
    for (auto& each : orders_)
      std::stable_partition(each.begin() + first, each.begin() + last, [&](std::int32_t s) { return goes_left_[static_cast<std::size_t>(s)]; });
    std::size_t left = tree_.nodes.size();
    tree_.nodes[node] = {best.threshold, static_cast<std::uint16_t>(best.feature), static_cast<std::uint16_t>(left)};
    add_node();
    add_node();
    grow_node(left, first, first + best.at, depth + 1);
    grow_node(left + 1, first + best.at, last, depth + 1);
  }

  // The split that takes most of the variance: largest sum^2 / count of both sides. Of equal ones the first found.
  Split best_split(i64 first, i64 last, double count, double sum) {
    Split best;
    best.gain = sum * sum / count * (1 + 1e-12) + 1e-12;  // a split must be worth something
    for (int tried = 0; tried < tried_; tried++) {
      std::swap(candidates_[static_cast<std::size_t>(tried)],
                candidates_[static_cast<std::size_t>(tried + random_.below(x_.cols - tried))]);
    }
    std::sort(candidates_.begin(), candidates_.begin() + tried_);
    for (int tried = 0; tried < tried_; tried++) {
      int feature = candidates_[static_cast<std::size_t>(tried)];
      const auto& order = orders_[static_cast<std::size_t>(feature)];
      double left_count = 0, left_sum = 0;
      for (i64 i = first; i + 1 < last; i++) {
        std::int32_t s = order[static_cast<std::size_t>(i)], next = order[static_cast<std::size_t>(i + 1)];
        left_count += weight(s);
        left_sum += weight(s) * y_[static_cast<std::size_t>(s)];
        float here = x_(s, feature), there = x_(next, feature);
        if (here == there || left_count < static_cast<double>(options_.leaf) || count - left_count < static_cast<double>(options_.leaf))
          continue;
        double right_sum = sum - left_sum;
        double gain = left_sum * left_sum / left_count + right_sum * right_sum / (count - left_count);
        if (gain <= best.gain) continue;
        float middle = here + (there - here) / 2;
        best = {feature, i + 1 - first, middle < there ? middle : here, gain};
      }
    }
    return best;
  }

  Matrix<const float> x_;
  std::span<const float> y_;
  const ForestOptions& options_;
  std::vector<int> weight_;      // of a sample: how often it was drawn
  std::vector<char> goes_left_;
  Random random_;
  std::vector<std::vector<std::int32_t>> orders_;  // samples by each feature
  std::vector<int> candidates_;
  int tried_ = 0;
  Forest::Tree tree_;
};

constexpr std::uint32_t kMagic = 0x31464b42;  // "BKF1"

}  // namespace

std::vector<i64> Forest::sample(i64 count, const ForestOptions& options, int tree) {
  std::vector<i64> samples(static_cast<std::size_t>(count));
  std::iota(samples.begin(), samples.end(), 0);
  // Its own stream, so that the features tried do not depend on it.
  Random random = random_of(options, tree + (1 << 30));
  if (options.bootstrap)
    for (i64& s : samples) s = random.below(count);
  return samples;
}

Forest Forest::train(Matrix<const float> x, std::span<const float> y, const ForestOptions& options, Threads& threads) {
  CHECK_GE(x.rows, 1);
  CHECK_GE(x.cols, 1);
  CHECK_EQ(x.rows, static_cast<i64>(y.size()));
  std::vector<std::vector<std::int32_t>> orders(static_cast<std::size_t>(x.cols));
  for (i64 f = 0; f < x.cols; f++) {
    auto& order = orders[static_cast<std::size_t>(f)];
    order.resize(static_cast<std::size_t>(x.rows));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return x(a, f) < x(b, f); });
  }
  Forest forest;
  forest.features_ = static_cast<int>(x.cols);
  forest.depth_ = options.depth;
  forest.trees_.resize(static_cast<std::size_t>(options.trees));
  threads.split(options.trees, [&](i64 first, i64 last) {
    for (i64 t = first; t < last; t++)
      forest.trees_[static_cast<std::size_t>(t)] = Grower(x, y, orders, options, static_cast<int>(t)).grow();
  });
  return forest;
}

void Forest::predict(Matrix<const float> x, std::span<Prediction> out, Threads& threads) const {
  CHECK_EQ(x.cols, features_);
  CHECK_EQ(x.rows, static_cast<i64>(out.size()));
  // Walks of 16 rows at once hide each other's latency; a tree meets all rows of a block while its nodes are near.
  constexpr i64 kRows = 16, kBlock = 1024;
  threads.split(ceil_div(x.rows, kBlock), [&](i64 first_block, i64 last_block) {
    std::vector<float> sums(kBlock), squares(kBlock);
    for (i64 block = first_block; block < last_block; block++) {
      i64 first = block * kBlock, last = std::min(first + kBlock, x.rows);
      std::fill(sums.begin(), sums.end(), 0.0f);
      std::fill(squares.begin(), squares.end(), 0.0f);
      for (const Tree& tree : trees_) {
        const Node* nodes = tree.nodes.data();
        for (i64 r = first; r < last; r += kRows) {
          const float* row[kRows];
          std::uint32_t at[kRows] = {};
          for (i64 i = 0; i < kRows; i++) row[i] = x.row(std::min(r + i, last - 1));  // the last row again and again
          for (int step = 0; step < depth_; step++)
#pragma GCC unroll 16
            for (i64 i = 0; i < kRows; i++) {
              Node node = nodes[at[i]];
              at[i] = node.left + (row[i][node.feature] > node.threshold);
            }
          for (i64 i = 0; i < std::min(kRows, last - r); i++) {
            float v = tree.values[at[i]];
            sums[static_cast<std::size_t>(r - first + i)] += v;
            squares[static_cast<std::size_t>(r - first + i)] += v * v;
          }
        }
      }
      for (i64 r = first; r < last; r++) {
        auto n = static_cast<float>(trees_.size());
        float mean = sums[static_cast<std::size_t>(r - first)] / n;
        float variance = std::max(0.0f, squares[static_cast<std::size_t>(r - first)] / n - mean * mean);
        out[static_cast<std::size_t>(r)] = {mean, std::sqrt(variance)};
      }
    }
  });
}

// Little-endian: magic, features, depth, trees; of a tree its count of nodes, the nodes, the values.
std::string Forest::to_bytes() const {
  std::string bytes;
  auto put = [&](const void* p, std::size_t n) { bytes.append(static_cast<const char*>(p), n); };
  std::uint32_t head[] = {kMagic, static_cast<std::uint32_t>(features_), static_cast<std::uint32_t>(depth_),
                          static_cast<std::uint32_t>(trees_.size())};
  put(head, sizeof head);
  for (const Tree& tree : trees_) {
    auto count = static_cast<std::uint32_t>(tree.nodes.size());
    put(&count, sizeof count);
    put(tree.nodes.data(), tree.nodes.size() * sizeof(Node));
    put(tree.values.data(), tree.values.size() * sizeof(float));
  }
  return bytes;
}

Forest Forest::from_bytes(std::string_view bytes) {
  auto take = [&](void* p, std::size_t n) {
    if (bytes.size() < n) fail(Fault::file, "forest: ends in the middle, expected {} more bytes", n - bytes.size());
    std::memcpy(p, bytes.data(), n);
    bytes.remove_prefix(n);
  };
  std::uint32_t head[4];
  take(head, sizeof head);
  if (head[0] != kMagic || head[1] < 1 || head[1] > 1000 || head[2] > 64 || head[3] < 1 || head[3] > 10000)
    fail(Fault::file, "forest: the head is wrong");
  Forest forest;
  forest.features_ = static_cast<int>(head[1]);
  forest.depth_ = static_cast<int>(head[2]);
  for (std::uint32_t t = 0; t < head[3]; t++) {
    std::uint32_t count = 0;
    take(&count, sizeof count);
    if (count < 1 || count > 65535 || bytes.size() < count * (sizeof(Node) + sizeof(float)))
      fail(Fault::file, "forest: tree {} claims {} nodes", t, count);
    Tree& tree = forest.trees_.emplace_back();
    tree.nodes.resize(count);
    tree.values.resize(count);
    take(tree.nodes.data(), count * sizeof(Node));
    take(tree.values.data(), count * sizeof(float));
    for (std::uint32_t i = 0; i < count; i++) {
      const Node& node = tree.nodes[i];
      bool leaf = node.left == i && node.threshold == std::numeric_limits<float>::infinity();
      bool split = node.left > i && node.left + 1u < count && std::isfinite(node.threshold);
      if (node.feature >= head[1] || !(leaf || split) || !std::isfinite(tree.values[i]))
        fail(Fault::file, "forest: node {} of tree {} is wrong", i, t);
    }
  }
  if (!bytes.empty()) fail(Fault::file, "forest: {} bytes behind the last tree", bytes.size());
  return forest;
}

}  // namespace bitkerf
