// How well a model predicts a text, computed as llama.cpp's llama-perplexity does: the text is cut into windows that do
// not overlap, each is read from nothing (its first token replaced by BOS where the model wants one), and the tokens of
// its second half but the very first are scored.
#pragma once

#include <functional>
#include <span>

#include "engine/session.h"

namespace bitkerf {

struct EvaluateOptions {
  i64 window = 512;
  i64 windows = -1;  // at most; -1: all whole ones in the text
};

struct Evaluation {
  i64 windows = 0, tokens = 0;  // tokens: scored ones
  i64 prompts = 0, held = 0;    // tokens of the first halves, and those of them that the last layer still has
  double perplexity = 0, perplexity_error = 0;  // one standard error
  // Against a reference model; 0 without one.
  bool compared = false;
  double reference_perplexity = 0;
  double kld_mean = 0, kld_99 = 0;  // of KL(reference || model), in nats per token: mean and 99 % quantile
  double same_top = 0;              // share of tokens where both find the same token the most likely
};

// Text shorter than a window, a window longer than the context, vocabularies that differ: Fault::usage.
// shown(windows done, windows in all, perplexity so far) may be empty.
Evaluation evaluate(Engine& engine, std::span<const Token> tokens, const EvaluateOptions& options,
                    Engine* reference = nullptr,
                    const std::function<void(i64 done, i64 all, double perplexity)>& shown = {});

}  // namespace bitkerf
