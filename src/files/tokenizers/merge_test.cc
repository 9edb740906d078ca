#include "files/tokenizers/merge.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace bitkerf {
namespace {

// Symbols that merge by a table; every table entry makes a new token.
struct Rules {
  std::map<std::pair<Token, Token>, Merge> table;
  Merge operator()(const Symbol& a, const Symbol& b) const {
    const auto found = table.find({a.token, b.token});
    return found == table.end() ? Merge{0, -1} : found->second;
  }
};

// The definition: over and over, of all neighbours that merge those with the smallest key, the leftmost of them.
std::vector<Symbol> merged_one_by_one(std::vector<Symbol> symbols, const Rules& rules) {
  for (;;) {
    std::size_t best = symbols.size();
    Merge best_merge{};
    for (std::size_t i = 0; i + 1 < symbols.size(); i++) {
      const Merge merge = rules(symbols[i], symbols[i + 1]);
      if (merge.token < 0 || (best < symbols.size() && merge.key >= best_merge.key)) continue;
      best = i;
      best_merge = merge;
    }
    if (best == symbols.size()) return symbols;
    symbols[best].token = best_merge.token;
    symbols[best].length += symbols[best + 1].length;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

std::vector<std::pair<Token, std::uint32_t>> content(const std::vector<Symbol>& symbols) {
  std::vector<std::pair<Token, std::uint32_t>> result;
  for (const Symbol& symbol : symbols) result.emplace_back(symbol.token, symbol.begin << 8 | symbol.length);
  return result;
}

TEST(Merge, HeapAndScanDoWhatTheDefinitionSays) {
  std::mt19937 random(3);
  MergeMemory memory;
  for (int round = 0; round < 3000; round++) {
    Rules rules;
    Token tokens = 2 + static_cast<Token>(random() % 3);
    const Token letters = tokens;
    // Keys come in any order, also smaller ones for merges of merged symbols, and are not all different.
    for (int i = 0; i < 12; i++) {
      const Token left = static_cast<Token>(random() % tokens), right = static_cast<Token>(random() % tokens);
      rules.table.insert({{left, right}, {static_cast<std::uint32_t>(random() % 8), tokens++}});
    }
    std::vector<Symbol> symbols;
    for (std::uint32_t i = 0, count = random() % 120; i < count; i++)
      symbols.push_back({static_cast<Token>(random() % letters), i, 1});
    const auto expected = content(merged_one_by_one(symbols, rules));
    std::vector<Symbol> by_heap = symbols;
    merge_by_heap(by_heap, rules, memory);
    ASSERT_EQ(content(by_heap), expected) << "round " << round;
    if (symbols.size() > kShortMerge) continue;
    merge_by_scan(symbols, rules);
    ASSERT_EQ(content(symbols), expected) << "round " << round;
  }
}

}  // namespace
}  // namespace bitkerf
