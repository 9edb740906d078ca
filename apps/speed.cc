#include "speed.h"

#include <algorithm>

#include "load.h"
#include "measure/clock.h"

namespace bitkerf {
namespace {

constexpr i64 kDecoded = 128;           // as many tokens as `bench` decodes
constexpr int kLeastRounds = 5, kMostRounds = 60;
constexpr double kSeconds = 2, kMostSeconds = 8;  // spent on a file, about; on one that is slower than expected
constexpr double kNearEnough = 1.02;

void keep_best(Speed& best, const Speed& speed) {
  best.decode = best.decode > 0 ? std::min(best.decode, speed.decode) : speed.decode;
  best.prefill = best.prefill > 0 ? std::min(best.prefill, speed.prefill) : speed.prefill;
}

}  // namespace

std::vector<Token> some_tokens(i64 count, i64 vocabulary) {
  std::vector<Token> tokens;
  std::uint32_t state = 1;
  for (i64 i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    tokens.push_back(static_cast<Token>((state >> 8) % static_cast<std::uint32_t>(vocabulary)));
  }
  return tokens;
}

double time_prefill(Engine& engine, std::span<const Token> tokens) {
  Session session(engine);
  double start = now();
  session.feed(tokens);
  return now() - start;
}

double time_decode(Engine& engine, std::span<const Token> tokens) {
  Session session(engine);
  double start = now();
  for (const Token& token : tokens) session.feed({&token, 1});
  return now() - start;
}

SpeedMeter::SpeedMeter(const Options& options, const std::string& reference, i64 prompt_tokens) : options_(options) {
  options_.context = std::max(kDecoded, prompt_tokens);
  engine_ = load_engine(options_, reference);
  const i64 vocabulary = engine_->model().shape().vocabulary;
  decoded_ = some_tokens(kDecoded, vocabulary);
  prompt_ = some_tokens(prompt_tokens, vocabulary);
  once(*engine_);  // pages come in, the clock goes up
  for (int i = 0; i < kLeastRounds; i++) keep_best(best_, once(*engine_));
}

Speed SpeedMeter::once(Engine& engine) const {
  return {time_decode(engine, decoded_) / static_cast<double>(decoded_.size()), prompt_.empty() ? 0 : time_prefill(engine, prompt_)};
}

Speed SpeedMeter::measure(const std::string& path, const Speed& expected) {
  std::unique_ptr<Engine> engine = load_engine(options_, path);
  once(*engine);
  Speed best;
  auto slow = [](double seconds, double wanted) { return wanted > 0 && seconds > wanted * kNearEnough; };
  const double start = now();
  auto go_on = [&](int round) {
    if (round < kLeastRounds || round >= kMostRounds) return round < kLeastRounds;
    const double spent = now() - start;
    return spent < kSeconds || (spent < kMostSeconds && (slow(best.decode, expected.decode) || slow(best.prefill, expected.prefill)));
  };
  for (int round = 0; go_on(round); round++) {
    keep_best(best_, once(*engine_));
    keep_best(best, once(*engine));
  }
  return best;
}

}  // namespace bitkerf
