// A random forest for numbers (Breiman, 2001): trees of splits "feature <= threshold", each grown on a bootstrap sample
// with a random part of the features at every split; the mean over trees predicts, their spread says how sure that is.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/threads.h"

namespace bitkerf {

struct ForestOptions {
  int trees = 100;
  int depth = 12;            // splits from the root to a leaf, at most
  i64 leaf = 1;              // samples of a leaf, at least
  double features = 0.5;     // share that a split may choose from, at least one
  bool bootstrap = true;
  std::uint64_t seed = 1;
};

struct Prediction {
  float mean, spread;  // spread: the standard deviation over trees
};

class Forest {
 public:
  // A node of a tree. The right child lies behind the left one. A leaf is its own left child and sends everything there,
  // so that a walk of `depth` steps needs no test for leaves.
  struct Node {
    float threshold;
    std::uint16_t feature, left;
  };
  struct Tree {
    std::vector<Node> nodes;    // at most 65,535
    std::vector<float> values;  // of nodes: the mean of their samples
  };

  // x (samples, features), finite; y one value a sample. The same bits for any number of threads.
  static Forest train(Matrix<const float> x, std::span<const float> y, const ForestOptions& options, Threads& threads);
  // One prediction a row of x.
  void predict(Matrix<const float> x, std::span<Prediction> out, Threads& threads) const;

  std::span<const Tree> trees() const { return trees_; }
  int features() const { return features_; }
  int depth() const { return depth_; }
  std::string to_bytes() const;
  static Forest from_bytes(std::string_view bytes);  // Fault::file when damaged

  // The samples (with repeats) that a tree is grown on.
  static std::vector<i64> sample(i64 count, const ForestOptions& options, int tree);

 private:
  std::vector<Tree> trees_;
  int features_ = 0, depth_ = 0;
};

}  // namespace bitkerf
