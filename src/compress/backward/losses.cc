#include "compress/backward/losses.h"

#include <algorithm>
#include <cmath>

#include "core/buffer.h"
#include "ops/ops.h"

namespace bitkerf::backward {
namespace {

// Of logit l in z.
float slope(float l, float cap) { return cap > 0 ? 1 - (l / cap) * (l / cap) : 1; }

// Uniform in [0, 1), a function of its arguments alone (splitmix64).
double uniform(std::uint64_t seed, i64 window, i64 token) {
  std::uint64_t x = seed + 0x9e3779b97f4a7c15u * (static_cast<std::uint64_t>(window) * 1000003u + static_cast<std::uint64_t>(token) + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

i64 draw(std::span<const float> p, double at) {
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); i++)
    if ((sum += p[i]) > at) return static_cast<i64>(i);
  return argmax(p);  // the sum was rounded to less than 1
}

}  // namespace

Loss cross_entropy(std::vector<std::vector<Token>> labels) {
  return [labels = std::move(labels)](const LossTask& task) {
    double loss = 0;
    for (i64 t = 0; t < task.logits.rows; t++) {
      std::span<float> row = task.logits.row_span(t);
      auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(task.window)][static_cast<std::size_t>(task.first + t)]);
      loss += log_sum_exp(row, chosen_isa()) - row[label];
      std::vector<float> logits(row.begin(), row.end());
      softmax(row, row, chosen_isa());
      row[label] -= 1;
      for (std::size_t r = 0; r < row.size(); r++) {
        double d = double{row[r]} * slope(logits[r], task.cap);
        task.square[r] += d * d;
        task.token_square[static_cast<std::size_t>(t)] += d * d;
      }
    }
    return loss;
  };
}

Loss sampled_labels(std::uint64_t seed) {
  return [seed](const LossTask& task) {
    double loss = 0;
    std::vector<float> logits;
    for (i64 t = 0; t < task.logits.rows; t++) {
      std::span<float> row = task.logits.row_span(t);
      if (task.cap > 0) logits.assign(row.begin(), row.end());
      softmax(row, row, chosen_isa());
      double sum = 0;
      for (std::size_t r = 0; r < row.size(); r++) {
        float s = task.cap > 0 ? slope(logits[r], task.cap) : 1;
        const double expected = row[r] * (1 - row[r]) * s * s;
        task.square[r] += expected;
        sum += expected;
      }
      task.token_square[static_cast<std::size_t>(t)] += sum;
      auto label = static_cast<std::size_t>(draw(row, uniform(seed, task.window, task.first + t)));
      loss -= std::log(std::max(1e-30, double{row[label]}));
      row[label] -= 1;
    }
    return loss;
  };
}

Loss divergence(std::function<void(i64 window, i64 first, Matrix<float> logits)> reference) {
  return [reference = std::move(reference)](const LossTask& task) {
    OwnedMatrix<float> expected(task.logits.rows, task.logits.cols);
    reference(task.window, task.first, expected.view());
    double loss = 0;
    std::vector<float> p(static_cast<std::size_t>(task.logits.cols));
    for (i64 t = 0; t < task.logits.rows; t++) {
      std::span<float> row = task.logits.row_span(t);
      std::span<const float> other = expected.view().row_span(t);
      double shift = log_sum_exp(row, chosen_isa()) - log_sum_exp(other, chosen_isa()), sum = 0;
      softmax(other, p, chosen_isa());
      for (std::size_t r = 0; r < row.size(); r++) sum += p[r] * (double{other[r]} - row[r] + shift);
      loss += sum;
      softmax(row, row, chosen_isa());
      for (std::size_t r = 0; r < row.size(); r++) row[r] -= p[r];
    }
    return loss;
  };
}

}  // namespace bitkerf::backward
