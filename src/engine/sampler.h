// Picks the next token from logits. The chain is fixed: bias and penalties, then greedy (temperature 0), or
// top-k, typical, top-p, min-p, temperature, and one draw. The same seed gives the same tokens on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "files/tokenizer.h"

namespace bitkerf {

struct SamplerOptions {
  double temperature = 0.8;        // 0: always the most likely token
  i64 top_k = 40;                  // 0: all
  double top_p = 0.95;             // 1: all
  double min_p = 0.05;             // 0: all
  double typical_p = 1.0;          // 1: all
  double repeat_penalty = 1.0;     // divides (positive) or multiplies (negative) logits of recent tokens
  i64 repeat_last_n = 64;          // how many tokens are recent; -1: all
  double frequency_penalty = 0, presence_penalty = 0;
  std::vector<std::pair<Token, float>> logit_bias = {};
  std::uint64_t seed = 0;
};

class Sampler {
 public:
  // Options out of range: Fault::usage naming the option, the value and the range.
  Sampler(const SamplerOptions& options, i64 vocabulary);
  // history: all tokens before the one to pick; those that are recent are penalised. NaN logits are never picked
  // while there is another; equal ones are taken in order of their ids.
  Token pick(std::span<const float> logits, std::span<const Token> history);

  struct Candidate {
    float logit;
    Token token;
    double weight;  // scratch of a stage: exp(logit - largest), or a distance
  };

 private:
  SamplerOptions options_;
  std::uint64_t state_;
  std::vector<float> logits_;
  std::vector<std::int32_t> counts_;  // of each token among the recent ones; all 0 between calls
  std::vector<Candidate> candidates_;
};

}  // namespace bitkerf
