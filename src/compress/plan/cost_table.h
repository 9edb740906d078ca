// Measured times as a table: text that people and other programs read (CSV), and what a model learned from a part of it
// says of the rest.
#pragma once

#include <string>
#include <vector>

#include "compress/plan/cost.h"

namespace bitkerf {

// A line a product, after a line of column names: what identifies it, its seconds, its bound, its features (kCostFeatures
// behind "f_"). `probe` gives the bounds that are not known.
std::string to_csv(std::span<const TimedWork> rows, const Probe& probe);
// Reads the columns that a TimedWork needs, whatever else is there; header lines in the middle (of files that were joined)
// are skipped. Fault::file when a line is damaged.
std::vector<TimedWork> from_csv(const std::string& text);

// Times as they were on a machine with the figures of `probe` all the while: each is moved by as much as its bound moves.
// Of the same work timed more than once the least time then counts, as other load only slows it down.
std::vector<TimedWork> settle(std::span<const TimedWork> rows, const Probe& probe);

struct Distribution {
  double median = 0, p95 = 0, worst = 0;
};

// A model sees all shapes (rows, cols, tokens) but one part in `folds`, and predicts that part; so every row once.
struct Evaluation {
  std::vector<int> fold;         // of each row
  std::vector<double> predicted; // seconds
  std::vector<double> factor;
  i64 shapes = 0;
  Distribution error;            // |predicted / measured - 1|
  double r2 = 0;                 // of log(seconds / bound), the forest's target
  double r2_log_seconds = 0;
  double rank_correlation = 0;   // Spearman's, of seconds
  // Regret: time of the kernel that is chosen over that of the best. Of all kernels and formats for a shape, and of the
  // kernels of one format and activation (where there are several); with the three best predictions timed; and of the one
  // kernel that is best on average.
  struct Choice {
    Distribution forest, best_of_three, roofline, fixed;
    i64 choices = 0;
  } all, one_format;
};
Evaluation evaluate(std::span<const TimedWork> rows, const Probe& probe, int folds, const ForestOptions& options, Threads& threads);

}  // namespace bitkerf
