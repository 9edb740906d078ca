#include "engine/evaluate.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "core/error.h"
#include "ops/ops.h"

namespace bitkerf {
namespace {

// With a reference, a window's second half goes in pieces of this many tokens, so that the reference's predictions of
// one piece (1 MB a token for a vocabulary of 262,144) are all that is kept.
constexpr std::size_t kPiece = 32;

struct Scores {
  double sum = 0, squares = 0;
  i64 count = 0;
  void add(double nll) { sum += nll, squares += nll * nll, count++; }
  double mean() const { return sum / static_cast<double>(count); }
  double perplexity() const { return std::exp(mean()); }
  double error() const {
    double variance = squares / static_cast<double>(count) - mean() * mean();
    return variance > 0 && count > 1 ? std::sqrt(variance / static_cast<double>(count - 1)) * perplexity() : 0;
  }
};

// Of sorted values, interpolated.
double quantile(const std::vector<double>& sorted, double fraction) {
  double place = fraction * static_cast<double>(sorted.size() - 1);
  auto below = static_cast<std::size_t>(place);
  std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// The sum over the vocabulary of p (log p - log q), p the reference's log-probabilities.
double divergence(std::span<const float> log_p, std::span<const float> logits, double log_sum) {
  double sum = 0;
  for (std::size_t i = 0; i < log_p.size(); i++) {
    double p = std::exp(static_cast<double>(log_p[i]));
    if (p > 0) sum += p * (log_p[i] - (logits[i] - log_sum));
  }
  return sum;
}

}  // namespace

Evaluation evaluate(Engine& engine, std::span<const Token> tokens, const EvaluateOptions& options, Engine* reference,
                    const std::function<void(i64, i64, double)>& shown) {
  if (options.window < 4) fail(Fault::usage, "a window of {} tokens; expected at least 4", options.window);
  for (Engine* e : {&engine, reference}) {
    if (e && options.window > e->context()) {
      fail(Fault::usage, "a window of {} tokens, but the context holds {}", options.window, e->context());
    }
  }
  i64 all = static_cast<i64>(tokens.size()) / options.window;
  if (options.windows >= 0) all = std::min(all, options.windows);
  if (all < 1) fail(Fault::usage, "the text has {} tokens; a window wants {}", tokens.size(), options.window);
  i64 vocabulary = engine.model().shape().vocabulary;
  if (reference && reference->model().shape().vocabulary != vocabulary) {
    fail(Fault::usage, "the reference has a vocabulary of {}, the model one of {}",
         reference->model().shape().vocabulary, vocabulary);
  }

  const Isa isa = chosen_isa();
  auto window_size = static_cast<std::size_t>(options.window);
  const std::size_t first = window_size / 2;
  Session session(engine);
  std::optional<Session> reference_session;
  OwnedMatrix<float> expected;
  if (reference) {
    reference_session.emplace(*reference);
    expected = OwnedMatrix<float>(kPiece, vocabulary);
  }
  Scores scores, reference_scores;
  std::vector<double> divergences;
  i64 same_top = 0, prompts = 0, held = 0;
  std::vector<Token> window;
  for (i64 w = 0; w < all; w++) {
    std::span<const Token> text = tokens.subspan(static_cast<std::size_t>(w) * window_size, window_size);
    window.assign(text.begin(), text.end());
    const Tokenizer& tokenizer = engine.tokenizer();
    if (tokenizer.adds_bos() && tokenizer.bos() >= 0) window[0] = tokenizer.bos();
    session.rollback(0);
    session.feed(std::span(window).first(first));
    prompts += static_cast<i64>(first), held += session.held();
    if (reference) {
      reference_session->rollback(0);
      reference_session->feed(std::span(window).first(first));
    }
    const std::size_t step = reference ? kPiece : window_size;
    for (std::size_t at = first; at + 1 < window_size; at += step) {
      std::span<const Token> piece = std::span(window).subspan(at, std::min(step, window_size - 1 - at));
      auto next = [&](i64 index) { return static_cast<std::size_t>(window[at + static_cast<std::size_t>(index) + 1]); };
      if (reference) {
        reference_session->feed_all(piece, 0, [&](i64 index, std::span<const float> logits) {
          std::span<float> row = expected.view().row_span(index);
          log_softmax(logits, row, isa);
          reference_scores.add(-row[next(index)]);
        });
      }
      session.feed_all(piece, 0, [&](i64 index, std::span<const float> logits) {
        double log_sum = log_sum_exp(logits, isa);
        scores.add(log_sum - logits[next(index)]);
        if (!reference) return;
        std::span<const float> row = expected.view().row_span(index);
        divergences.push_back(std::max(0.0, divergence(row, logits, log_sum)));
        same_top += argmax(row) == argmax(logits);
      });
    }
    if (shown) shown(w + 1, all, scores.perplexity());
  }

  Evaluation result{
      .windows = all, .tokens = scores.count, .prompts = prompts, .held = held, .perplexity = scores.perplexity(), .perplexity_error = scores.error()};
  if (reference) {
    result.compared = true;
    result.reference_perplexity = reference_scores.perplexity();
    for (double d : divergences) result.kld_mean += d / static_cast<double>(divergences.size());
    std::sort(divergences.begin(), divergences.end());
    result.kld_99 = quantile(divergences, 0.99);
    result.same_top = static_cast<double>(same_top) / static_cast<double>(scores.count);
  }
  return result;
}

}  // namespace bitkerf
