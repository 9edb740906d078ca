// FlatQuant's transform of one input: P1, P2 and a factor for every column, learned so that rounding the transformed input and
// the transformed weights to few bits changes the outputs least (FlatQuant, one linear layer at a time, without its clips).
#pragma once

#include <vector>

#include "core/buffer.h"
#include "core/threads.h"

namespace bitkerf {

struct KroneckerTraining {
  int bits = 4;             // of inputs (a scale per token) and weights
  i64 weight_group = 64;    // columns per scale, where it divides the width; otherwise a scale per row
  int steps = 60;
  float rate = 3e-2f;       // Adam's first, falling along a cosine to nothing
  bool rounds = true;       // false: for tests of the gradients
};

// x (tokens, n): inputs; w (rows, n): all matrices that read them. Returns the parameters of the transform "kronecker" and, if
// asked, the relative squared error of the outputs before each step. The same bits for any number of threads.
std::vector<float> learn_kronecker(Matrix<const float> x, Matrix<const float> w, const KroneckerTraining& training, Threads& threads,
                                   std::vector<double>* losses = nullptr);

// The loss for these parameters (log d in place of d), and its derivatives in them. `target` (tokens, rows): what outputs should be.
double kronecker_loss(Matrix<const float> x, Matrix<const float> w, Matrix<const float> target, const std::vector<float>& parameters,
                      const KroneckerTraining& training, Threads& threads, std::vector<float>& gradient);

}  // namespace bitkerf
