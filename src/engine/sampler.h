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
  std::vector<std::pair<Token, float>> logit_bias;
  std::uint64_t seed = 0;
};

class Sampler {
 public:
  // Options out of range: Fault::usage naming the option, the value and the range.
  Sampler(const SamplerOptions& options, i64 vocabulary);
  Token pick(std::span<const float> logits, std::span<const Token> history);

 private:
  SamplerOptions options_;
  std::uint64_t state_;
  std::vector<float> logits_;
  std::vector<std::pair<float, Token>> candidates_;
};

}  // namespace bitkerf
