// How much each output of each matrix matters to what a model says: E[g_r^2] over calibration text, g the derivative of
// -log p(label) in output r, with labels drawn from the model itself. A change dW of a matrix whose inputs have the
// second moment H then moves the model by about 1/2 sum_r E[g_r^2] dW_r H dW_r^T nats of KL divergence per token: the
// second-order term of the divergence, with inputs and gradients of a token taken as independent and outputs as
// uncorrelated (the diagonal of K-FAC's output factor).
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "compress/calibration/statistics.h"
#include "core/threads.h"
#include "files/model_file.h"
#include "files/tokenizer.h"

namespace bitkerf {

// By matrix, in the order of rows that models load ("blk.0.attn_q"; the head "output" or, tied, "token_embd"), and
// "token_embd.input": (width) E[g_c^2] in column c of what the embedding's rows give, which a change e of token's row makes
// 1/2 (share of the token in the text) sum_c E[g_c^2] e_c^2 of.
using OutputGradients = std::map<std::string, std::vector<float>, std::less<>>;

struct GradientReport {
  double entropy = 0;  // mean -log p of the drawn labels: the model's own entropy in nats
  i64 tokens = 0, bytes = 0;  // bytes: memory that the pass took beside the file
};

// Where a pass keeps its sums every some seconds and when it is stopped, and goes on from them: the result has the same bits.
struct GradientState {
  std::string path = {};  // empty: nowhere. Deleted when the pass is done
  std::string key = {};   // of model and windows; sums of another key are not gone on from
  double seconds_between_saves = 20;
};

// windows: of at least two tokens, ids in the vocabulary (Fault::usage). progress(windows done, in all) may be empty;
// false: stop, with an empty result. One pass forward and one back per window; the same bits for any number of threads.
//
// statistics: moments of the same windows, or nullptr. They get for every matrix, as `weighed`,
//   plain_share E[x x^T] + (1 - plain_share) E[w x x^T] / E[w],  w = sum over the matrix's outputs of g_r^2:
// the harm above without taking inputs and gradients as independent. Tokens that nothing hangs on (their next token is
// certain, or they are where attention is parked, with inputs a thousand times as large) no longer decide how weights are
// rounded.
OutputGradients measure_gradients(const ModelFile& file, std::span<const std::vector<Token>> windows, Threads& threads,
                                  const std::function<bool(i64 done, i64 all)>& progress = {}, GradientReport* report = nullptr,
                                  const GradientState& state = {}, Statistics* statistics = nullptr);
// Of plain moments in the mix: the weights of some ten thousand tokens are noisy, a few large ones among them.
inline constexpr double kPlainShare = 0.2;

}  // namespace bitkerf
