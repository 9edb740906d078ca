// The loop that writes: a prompt goes in, pieces of text come out until something says stop.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sampler.h"
#include "engine/session.h"

namespace bitkerf {

// Why writing stopped.
enum class Finish { end_of_text, limit, stop_string, context_full, interrupted };

struct GenerateOptions {
  i64 limit = -1;                            // tokens at most; -1: as many as the context holds
  std::vector<std::string> stops = {};        // text ends before the first of these
  bool ignore_end = false;                   // an end-of-text token is a token like others
  SamplerOptions sampler = {};
  const std::atomic<bool>* stop = nullptr;   // set (by a signal, another thread) to stop after the token in progress
};

struct Generated {
  std::string text;
  std::vector<Token> tokens;  // the end-of-text token is not among them
  Finish finish = Finish::limit;
  i64 prompt_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;  // decode: from the first token on
  double prefill_tokens_per_second() const {
    return prefill_seconds > 0 ? static_cast<double>(prompt_tokens) / prefill_seconds : 0;
  }
  // The first token comes from the prefill.
  double decode_tokens_per_second() const {
    return decode_seconds > 0 && tokens.size() > 1 ? static_cast<double>(tokens.size() - 1) / decode_seconds : 0;
  }
};

// Feeds the prompt (at least one token, to what the session holds already) and writes. show(piece) gets whole UTF-8
// characters as they come; what could be the beginning of a stop string is held back. Afterwards the session holds
// the prompt and all tokens written but perhaps the last. A prompt that is too long: Fault::usage.
Generated generate(Engine& engine, Session& session, std::span<const Token> prompt, const GenerateOptions& options,
                   const std::function<void(std::string_view piece)>& show = {});

// Text that passes through on its way out and is cut before the first stop string, also where that begins in one
// piece and ends in another.
class StopFilter {
 public:
  explicit StopFilter(std::span<const std::string> stops) : stops_(stops) {}
  std::string add(std::string_view piece);  // what can be shown
  std::string finish();                     // what was held back, when no stop string came
  bool stopped() const { return stopped_; }

 private:
  std::span<const std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace bitkerf
