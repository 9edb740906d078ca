#include "models/prune.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"

namespace bitkerf {
namespace {

PruneStep parse_step(std::string_view step, std::string_view text) {
  PruneStep result;
  constexpr std::string_view kBegin = "keep=";
  const char* end = step.data() + step.size();
  if (step.starts_with(kBegin)) {
    auto [at, error] = std::from_chars(step.data() + kBegin.size(), end, result.keep);
    if (error == std::errc{} && at != end && *at == '@' && result.keep > 0 && result.keep <= 1) {
      auto [rest, wrong] = std::from_chars(at + 1, end, result.layer);
      if (wrong == std::errc{} && rest == end && result.layer >= 0) return result;
    }
  }
  fail(Fault::usage, "token pruning '{}': '{}': expected keep=PART@LAYER, as in keep=0.8@4: PART above 0, at most 1, LAYER from 0", text, step);
}

}  // namespace

std::vector<PruneStep> parse_prune_steps(std::string_view text) {
  std::vector<PruneStep> steps;
  i64 last = -1;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    PruneStep step = parse_step(rest.substr(0, comma), text);
    if (step.layer <= last) fail(Fault::usage, "token pruning '{}': layer {} comes after layer {}; expected them in order", text, step.layer, last);
    last = step.layer;
    if (step.keep < 1) steps.push_back(step);
    if (comma == rest.npos) return steps;
    rest = rest.substr(comma + 1);
  }
}

i64 choose_kept(const float* received, i64 tokens, double keep, bool begins, i64* kept) noexcept {
  for (i64 t = 0; t < tokens; t++) kept[t] = t;
  if (tokens < kLeastPruned) return tokens;
  const i64 first = begins ? kFirstKept : 0, last = tokens - kLastKept;
  const i64 count = std::clamp<i64>(std::llround(keep * static_cast<double>(tokens)), first + kLastKept, tokens);
  const i64 chosen = count - first - kLastKept;  // of those between
  auto more = [&](i64 a, i64 b) { return received[a] != received[b] ? received[a] > received[b] : a < b; };
  std::nth_element(kept + first, kept + first + chosen, kept + last, more);
  std::sort(kept + first, kept + first + chosen);
  for (i64 i = 0; i < kLastKept; i++) kept[first + chosen + i] = last + i;
  return count;
}

}  // namespace bitkerf
