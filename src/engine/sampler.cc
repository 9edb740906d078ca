#include "engine/sampler.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "core/error.h"

namespace bitkerf {
namespace {

using Candidate = Sampler::Candidate;
using Candidates = std::vector<Candidate>;

// Most likely first; equal logits in order of their ids, so that the result never depends on the sort.
bool better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// exp(x) for x <= 0 of additions and multiplications alone: the C library's differs between machines in the last bit,
// which is enough to change a draw. Taylor on |r| <= ln(2)/2, 13 terms: relative error below 2^-52.
double exp_same_everywhere(double x) {
  if (x < -700) return 0;
  constexpr double kLog2e = 1.4426950408889634074, kLn2High = 6.93147180369123816490e-01,
                   kLn2Low = 1.90821492927058770002e-10;
  double n = std::floor(x * kLog2e + 0.5);
  double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 1;
  for (int i = 13; i >= 1; i--) sum = 1 + sum * r / i;
  return std::ldexp(sum, static_cast<int>(n));
}

// log(x) for x > 0, likewise: 2 atanh((m - 1) / (m + 1)) of the mantissa m.
double log_same_everywhere(double x) {
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);  // [0.5, 1)
  double t = (mantissa - 1) / (mantissa + 1), square = t * t, sum = 0;  // |t| <= 1/3: 17 terms reach 2^-53
  for (int i = 33; i >= 1; i -= 2) sum = sum * square + 2.0 / i;
  return sum * t + exponent * 0.69314718055994530942;
}

// Sets every weight to exp(logit - largest) and returns their sum.
double weigh(Candidates& candidates) {
  float largest = -FLT_MAX;
  for (const Candidate& c : candidates) largest = std::max(largest, c.logit);
  double sum = 0;
  for (Candidate& c : candidates) {
    c.weight = exp_same_everywhere(static_cast<double>(c.logit) - largest);
    sum += c.weight;
  }
  return sum;
}

// Keeps the first candidates in the order `before`, until enough(c) has said yes once; only those are sorted.
template <class Before, class Enough>
void keep_until(Candidates& candidates, Before before, Enough enough) {
  auto after = [&](const Candidate& a, const Candidate& b) { return before(b, a); };
  std::make_heap(candidates.begin(), candidates.end(), after);
  auto end = candidates.end();
  while (end != candidates.begin()) {
    std::pop_heap(candidates.begin(), end, after);
    --end;
    if (enough(*end)) break;
  }
  candidates.erase(candidates.begin(), end);  // the best came first to the back
  std::reverse(candidates.begin(), candidates.end());
}

void keep_top_k(Candidates& candidates, const SamplerOptions& options) {
  auto k = static_cast<std::size_t>(options.top_k);
  if (k < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(k), candidates.end(), better);
    candidates.resize(k);
  }
  std::sort(candidates.begin(), candidates.end(), better);
}

// Locally typical sampling (Meister et al., 2022): the tokens whose surprise is closest to the entropy.
void keep_typical(Candidates& candidates, const SamplerOptions& options) {
  double sum = weigh(candidates), largest = -FLT_MAX, entropy = 0;
  for (const Candidate& c : candidates) largest = std::max(largest, static_cast<double>(c.logit));
  double log_sum = log_same_everywhere(sum);
  auto surprise = [&](const Candidate& c) { return largest + log_sum - c.logit; };
  for (const Candidate& c : candidates) {
    if (c.weight > 0) entropy += c.weight / sum * surprise(c);
  }
  for (Candidate& c : candidates) c.weight = std::fabs(surprise(c) - entropy);
  auto closer = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight < b.weight : better(a, b);
  };
  double mass = 0;
  keep_until(candidates, closer, [&](const Candidate& c) {
    mass += exp_same_everywhere(c.logit - largest) / sum;
    return mass >= options.typical_p;
  });
}

void keep_top_p(Candidates& candidates, const SamplerOptions& options) {
  double sum = weigh(candidates), mass = 0;
  keep_until(candidates, better, [&](const Candidate& c) { return (mass += c.weight) >= options.top_p * sum; });
}

void keep_min_p(Candidates& candidates, const SamplerOptions& options) {
  weigh(candidates);  // the largest weighs 1
  std::erase_if(candidates, [&](const Candidate& c) { return c.weight < options.min_p; });
}

void divide_by_temperature(Candidates& candidates, const SamplerOptions& options) {
  for (Candidate& c : candidates) {
    c.logit = static_cast<float>(std::clamp<double>(c.logit / options.temperature, -FLT_MAX, FLT_MAX));
  }
}

struct Stage {
  std::string_view name;
  bool (*active)(const SamplerOptions& options);
  void (*apply)(Candidates& candidates, const SamplerOptions& options);
};
// In the order in which they are applied. Each leaves at least one candidate.
constexpr Stage kStages[] = {
    {"top-k", [](const SamplerOptions& o) { return o.top_k > 0; }, keep_top_k},
    {"typical", [](const SamplerOptions& o) { return o.typical_p < 1; }, keep_typical},
    {"top-p", [](const SamplerOptions& o) { return o.top_p < 1; }, keep_top_p},
    {"min-p", [](const SamplerOptions& o) { return o.min_p > 0; }, keep_min_p},
    {"temperature", [](const SamplerOptions& o) { return o.temperature != 1; }, divide_by_temperature},
};

struct Range {
  std::string_view name;
  double (*value)(const SamplerOptions& options);
  double low, high;
};
constexpr Range kRanges[] = {
    {"temperature", [](const SamplerOptions& o) { return o.temperature; }, 0, 100},
    {"top_k", [](const SamplerOptions& o) { return static_cast<double>(o.top_k); }, 0, 2147483647},
    {"top_p", [](const SamplerOptions& o) { return o.top_p; }, 0, 1},
    {"min_p", [](const SamplerOptions& o) { return o.min_p; }, 0, 1},
    {"typical_p", [](const SamplerOptions& o) { return o.typical_p; }, 0, 1},
    {"repeat_penalty", [](const SamplerOptions& o) { return o.repeat_penalty; }, 0.01, 100},
    {"repeat_last_n", [](const SamplerOptions& o) { return static_cast<double>(o.repeat_last_n); }, -1, 2147483647},
    {"frequency_penalty", [](const SamplerOptions& o) { return o.frequency_penalty; }, -100, 100},
    {"presence_penalty", [](const SamplerOptions& o) { return o.presence_penalty; }, -100, 100},
};

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
std::uint64_t next_random(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options, i64 vocabulary)
    : options_(options), state_(options.seed), logits_(static_cast<std::size_t>(vocabulary)),
      counts_(static_cast<std::size_t>(vocabulary)) {
  CHECK_GE(vocabulary, 1);
  for (const Range& range : kRanges) {
    double value = range.value(options);
    if (!(value >= range.low && value <= range.high)) {  // NaN is out of range too
      fail(Fault::usage, "sampling option {} is {}; it must lie between {} and {}", range.name, value, range.low,
           range.high);
    }
  }
  for (const auto& [token, bias] : options.logit_bias) {
    if (token < 0 || token >= vocabulary) {
      fail(Fault::usage, "logit bias for token {}: the model's tokens are 0 to {}", token, vocabulary - 1);
    }
    if (std::isnan(bias)) fail(Fault::usage, "logit bias for token {} is not a number", token);
  }
  candidates_.reserve(logits_.size());
}

Token Sampler::pick(std::span<const float> logits, std::span<const Token> history) {
  CHECK_GE(logits.size(), logits_.size());
  for (std::size_t i = 0; i < logits_.size(); i++) {
    logits_[i] = std::isnan(logits[i]) ? -FLT_MAX : std::clamp(logits[i], -FLT_MAX, FLT_MAX);
  }
  for (const auto& [token, bias] : options_.logit_bias) {
    float& logit = logits_[static_cast<std::size_t>(token)];
    logit = std::clamp(logit + bias, -FLT_MAX, FLT_MAX);
  }

  auto last =
      static_cast<std::size_t>(options_.repeat_last_n < 0 ? static_cast<i64>(history.size()) : options_.repeat_last_n);
  std::span<const Token> recent = history.last(std::min(history.size(), last));
  auto known = [&](Token token) { return token >= 0 && static_cast<std::size_t>(token) < logits_.size(); };
  for (Token token : recent) {
    if (known(token)) counts_[static_cast<std::size_t>(token)]++;
  }
  for (Token token : recent) {
    if (!known(token)) continue;
    auto i = static_cast<std::size_t>(token);
    if (counts_[i] == 0) continue;  // done already
    double logit = logits_[i];
    logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
    logit -= counts_[i] * options_.frequency_penalty + options_.presence_penalty;
    logits_[i] = static_cast<float>(std::clamp(logit, -static_cast<double>(FLT_MAX), static_cast<double>(FLT_MAX)));
    counts_[i] = 0;
  }

  if (options_.temperature == 0)
    return static_cast<Token>(std::max_element(logits_.begin(), logits_.end()) - logits_.begin());

  candidates_.clear();
  for (std::size_t i = 0; i < logits_.size(); i++) candidates_.push_back({logits_[i], static_cast<Token>(i), 0});
  for (const Stage& stage : kStages) {
    if (stage.active(options_)) stage.apply(candidates_, options_);
  }
  double place = static_cast<double>(next_random(state_) >> 11) * 0x1p-53 * weigh(candidates_);
  for (const Candidate& c : candidates_) {
    place -= c.weight;
    if (place < 0) return c.token;
  }
  return candidates_.back().token;  // rounding
}

}  // namespace bitkerf
