// Seconds of whole models on this machine, as `bench` prints them and budgets of speed are checked by them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/session.h"
#include "options.h"

namespace bitkerf {

// Ids that are plain text, the same ones every time.
std::vector<Token> some_tokens(i64 count, i64 vocabulary);
// Seconds to compute the tokens from an empty session: all at once, and one by one.
double time_prefill(Engine& engine, std::span<const Token> tokens);
double time_decode(Engine& engine, std::span<const Token> tokens);

struct Speed {
  double decode = 0, prefill = 0;  // seconds of one token, of the prompt; 0: not measured
};

// Measures files in turns with a reference, so that both see the same machine. Other load only ever slows a run down, and some
// machines are slow for seconds: the best runs count.
class SpeedMeter {
 public:
  // prompt_tokens: 0: prefill is not measured. The reference's file may be removed afterwards.
  SpeedMeter(const Options& options, const std::string& reference, i64 prompt_tokens);
  // The reference's best seconds so far.
  Speed reference() const { return best_; }
  // A file's best seconds in some rounds. Where they are more than `expected` (0: anything), it tries for longer.
  Speed measure(const std::string& path, const Speed& expected = {});

 private:
  Speed once(Engine& engine) const;
  Options options_;
  std::vector<Token> prompt_, decoded_;
  std::unique_ptr<Engine> engine_;
  Speed best_;
};

}  // namespace bitkerf
