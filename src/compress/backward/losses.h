// What is differentiated: a loss of each token's logits.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/cpu.h"
#include "core/view.h"
#include "files/tokenizer.h"

namespace bitkerf::backward {

// Tokens [first, first + logits.rows) of a window.
struct LossTask {
  i64 window, first;
  Matrix<float> logits;      // (tokens, vocabulary), capped; replaced by the derivative of the loss in them
  float cap;                 // of logits = cap * tanh(z / cap); 0: logits = z
  std::span<double> square;  // (vocabulary): the sum over these tokens of the expected squared derivative in z is added
  std::span<double> token_square;  // (tokens): the same summed over the vocabulary for each token
};
// Returns the sum of these tokens' losses. Called from several threads at once, for different windows.
using Loss = std::function<double(const LossTask&)>;

// -log p(label), label[window][token].
Loss cross_entropy(std::vector<std::vector<Token>> labels);
// -log p(label) with labels drawn from the model's own p (fixed by the seed): the expected squares of its derivatives are
// the diagonal of the Fisher information, so half of (derivative * change)^2 predicts a KL divergence. `square` is exact
// here: E (p - y)^2 = p (1 - p).
Loss sampled_labels(std::uint64_t seed);
// KL(softmax(reference) || softmax(logits)), where `reference` writes the logits of another model for tokens
// [first, first + rows) of a window. Leaves both squares alone.
Loss divergence(std::function<void(i64 window, i64 first, Matrix<float> logits)> reference);

}  // namespace bitkerf::backward
