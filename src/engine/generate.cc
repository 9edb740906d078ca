#include "engine/generate.h"

#include <algorithm>
#include <chrono>

namespace bitkerf {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Feeds in pieces of a prefill step, so that a stop is noticed; true when all went in.
std::span<const float> feed_until_stopped(Engine& engine, Session& session, std::span<const Token> prompt,
                                          const std::atomic<bool>* stop) {
  auto chunk = static_cast<std::size_t>(engine.chunk());
  // The whole prompt must fit before its first part is fed; feed() of all of it says so best.
  bool fits = session.mark() + static_cast<i64>(prompt.size()) <= engine.context();
  if (!fits || prompt.size() <= chunk) return session.feed(prompt);
  std::span<const float> logits;
  for (std::size_t first = 0; first < prompt.size(); first += chunk) {
    if (stop && stop->load(std::memory_order_relaxed)) return {};
    logits = session.feed(prompt.subspan(first, std::min(chunk, prompt.size() - first)));
  }
  return logits;
}

}  // namespace

Generated generate(Engine& engine, Session& session, std::span<const Token> prompt, const GenerateOptions& options,
                   const std::function<void(std::string_view)>& show) {
  using Clock = std::chrono::steady_clock;
  const Tokenizer& tokenizer = engine.tokenizer();
  // Rows of the vocabulary that the tokenizer has no text for are padding: never sampled.
  Sampler sampler(options.sampler, tokenizer.size());
  StreamDecoder decoder(tokenizer);
  StopFilter filter(options.stops);
  Generated result;
  result.prompt_tokens = static_cast<i64>(prompt.size());
  auto put = [&](std::string_view text) {
    if (text.empty()) return;
    result.text += text;
    if (show) show(text);
  };
  auto interrupted = [&] { return options.stop && options.stop->load(std::memory_order_relaxed); };

  Clock::time_point start = Clock::now();
  std::span<const float> logits = feed_until_stopped(engine, session, prompt, options.stop);
  result.prefill_seconds = seconds_since(start);
  start = Clock::now();
  result.finish = Finish::limit;
  for (i64 i = 0; options.limit < 0 || i < options.limit; i++) {
    if (interrupted() || logits.empty()) {
      result.finish = Finish::interrupted;
      break;
    }
    Token token = sampler.pick(logits, session.tokens());
    if (!options.ignore_end && tokenizer.ends_generation(token)) {
      result.finish = Finish::end_of_text;
      break;
    }
    result.tokens.push_back(token);
    put(filter.add(decoder.add(token)));
    if (filter.stopped()) {
      result.finish = Finish::stop_string;
      break;
    }
    if (i + 1 == options.limit) break;  // nobody will read the logits after it
    if (session.mark() == engine.context()) {
      result.finish = Finish::context_full;
      break;
    }
    logits = session.feed({&token, 1});
  }
  result.decode_seconds = seconds_since(start);
  if (!filter.stopped()) {
    put(filter.add(decoder.finish()));
    put(filter.finish());
  }
  return result;
}

std::string StopFilter::add(std::string_view piece) {
  if (stopped_) return {};
  held_ += piece;
  std::size_t end = std::string::npos;
  for (const std::string& stop : stops_) {
    if (!stop.empty()) end = std::min(end, held_.find(stop));
  }
  if (end != std::string::npos) {
    stopped_ = true;
    std::string shown = held_.substr(0, end);
    held_.clear();
    return shown;
  }
  std::size_t keep = 0;  // the longest end of what is held that begins a stop string
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(held_.size(), stop.empty() ? 0 : stop.size() - 1); n > keep; n--) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
    }
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return shown;
}

std::string StopFilter::finish() { return std::move(held_); }

}  // namespace bitkerf
