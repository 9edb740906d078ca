#include "compress/plan/budget.h"

#include <charconv>
#include <cmath>

#include "core/error.h"

namespace bitkerf {
namespace budget_kinds {
const BudgetKind file_bytes{"file", "64MiB", "the whole file"};
const BudgetKind bits_per_weight{"bits per weight", "3.2bpw", "the whole file, in bits per weight"};
const BudgetKind resident_bytes{"memory", "ram=128MiB", "weights, cache and scratch while it runs"};
const BudgetKind tokens_per_second{"decode", "40tok/s", "decode on this machine"};
const BudgetKind first_token{"first token", "ttft=300ms@512", "time to the first token after a prompt of that many tokens"};
const BudgetKind speedup{"speed", "1.2x", "decode, times that of uniform 4 bits"};
}  // namespace budget_kinds

namespace {

constexpr const BudgetKind* kKinds[] = {&budget_kinds::file_bytes, &budget_kinds::bits_per_weight, &budget_kinds::resident_bytes,
                                        &budget_kinds::tokens_per_second, &budget_kinds::first_token, &budget_kinds::speedup};

struct Unit {
  std::string_view name;
  double factor;
};
constexpr Unit kSizes[] = {{"B", 1},   {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"K", 1024.0}, {"M", 1048576.0},
                           {"G", 1073741824.0}, {"kB", 1e3},     {"MB", 1e6},        {"GB", 1e9}};
constexpr Unit kTimes[] = {{"s", 1}, {"ms", 1e-3}};

// One way to write a budget: PREFIX NUMBER UNIT [@TOKENS].
struct Grammar {
  const BudgetKind* kind;
  std::string_view prefix;
  std::span<const Unit> units;
  bool tokens = false;
};
constexpr Unit kBits[] = {{"bpw", 1}}, kSpeed[] = {{"tok/s", 1}}, kTimesFaster[] = {{"x", 1}};
constexpr Grammar kGrammar[] = {
    {&budget_kinds::file_bytes, "", kSizes},
    {&budget_kinds::bits_per_weight, "", kBits},
    {&budget_kinds::resident_bytes, "ram=", kSizes},
    {&budget_kinds::tokens_per_second, "", kSpeed},
    {&budget_kinds::first_token, "ttft=", kTimes, true},
    {&budget_kinds::speedup, "", kTimesFaster},
};
constexpr i64 kMostPromptTokens = 1 << 20;

}  // namespace

std::span<const BudgetKind* const> budget_kind_list() { return kKinds; }

Budget parse_budget(std::string_view text) {
  for (const Grammar& grammar : kGrammar) {
    std::string_view rest = text;
    if (!rest.starts_with(grammar.prefix)) continue;
    rest.remove_prefix(grammar.prefix.size());
    double value = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, std::chars_format::fixed);
    if (error != std::errc{} || !(value > 0) || !std::isfinite(value)) continue;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    i64 tokens = 0;
    if (grammar.tokens) {
      std::size_t at = rest.find('@');
      if (at == rest.npos) continue;
      std::string_view number = rest.substr(at + 1);
      auto [last, wrong] = std::from_chars(number.data(), number.data() + number.size(), tokens);
      if (wrong != std::errc{} || last != number.data() + number.size() || tokens < 1 || tokens > kMostPromptTokens) continue;
      rest = rest.substr(0, at);
    }
    for (const Unit& unit : grammar.units) {
      if (rest != unit.name) continue;
      value *= unit.factor;
      if (value > 1e15) break;  // a petabyte
      return {grammar.kind, value, tokens, std::string(text)};
    }
  }
  std::string known;
  for (const BudgetKind* kind : kKinds) known += (known.empty() ? "" : ", ") + std::string(kind->example);
  fail(Fault::usage, "budget '{}': expected one like {}", text, known);
}

std::string size_text(double bytes) { return fmt::format("{:.2f} MiB", bytes / (1 << 20)); }

}  // namespace bitkerf
