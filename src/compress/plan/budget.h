// What a plan may cost, as people say it (docs/plans.md):
//   64MiB  67108864B  0.5GiB      the whole file
//   3.2bpw                        the whole file, in bits per weight of the model
//   ram=128MiB                    resident memory while it runs: weights, cache of keys and values, scratch
//   40tok/s                       decode, on this machine
//   ttft=300ms@512                time to the first token after a prompt of 512 tokens
//   1.2x                          decode, times the speed of the same model at uniform 4 bits
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/view.h"

namespace bitkerf {

// What kind of thing is limited: a row of the table in budget.cc.
struct BudgetKind {
  std::string_view name, example, about;
};
namespace budget_kinds {
extern const BudgetKind file_bytes, bits_per_weight, resident_bytes, tokens_per_second, first_token, speedup;
}
std::span<const BudgetKind* const> budget_kind_list();

struct Budget {
  const BudgetKind* kind;
  double value;          // bytes, bits, tokens per second, seconds, times
  i64 tokens = 0;        // of the prompt (first_token)
  std::string text;      // as it was given
};

// Fault::usage with what was expected. Values are positive and finite.
Budget parse_budget(std::string_view text);
// "64.00 MiB": for people.
std::string size_text(double bytes);

}  // namespace bitkerf
