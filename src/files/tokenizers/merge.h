// Merging neighbours until no merge is left: the one mechanism of every BPE here, whatever orders the merges.
//
// The symbols of a text form a doubly linked list; every pair of neighbours that may merge is a candidate in a heap,
// smallest key first, leftmost first among equals. A merge shortens the list by one and makes at most two new
// candidates, so n symbols cost O(n log n). Candidates whose symbols have changed meanwhile stay in the heap and are
// recognised when they come up (lazy deletion). The key is the rank of the merge (byte-level BPE) or comes from the
// score of the merged piece (SentencePiece).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/check.h"
#include "files/tokenizer.h"

namespace bitkerf {

struct Symbol {
  Token token;              // -1: no piece of the vocabulary
  std::uint32_t begin, length;  // its bytes in the text
};

// What two neighbours become; token < 0 when they do not merge.
struct Merge {
  std::uint32_t key;
  Token token;
};

// Up to this many symbols, scanning for the smallest key beats the heap.
inline constexpr std::size_t kShortMerge = 32;

// Buffers that are kept between calls.
struct MergeMemory {
  struct Link {
    std::uint32_t previous, next;  // kGone: at the ends; next == kDead: merged into its left neighbour
  };
  std::vector<Link> links;
  // Candidates: the key above, the index of the left symbol below. What the pair becomes is asked again when the
  // candidate comes up: a heap of 8 bytes per candidate misses the cache less than one of 24.
  std::vector<std::uint64_t> heap;
};

// `merge` is called with two neighbouring Symbols and answers a Merge. On return `symbols` holds what is left.
template <class Find>
void merge_by_scan(std::vector<Symbol>& symbols, Find&& merge) {
  std::size_t count = symbols.size();
  CHECK_LE(count, kShortMerge);
  if (count < 2) return;
  Merge merges[kShortMerge];  // of symbol i with i + 1
  for (std::size_t i = 0; i + 1 < count; i++) merges[i] = merge(symbols[i], symbols[i + 1]);
  for (;;) {
    std::size_t best = count;
    for (std::size_t i = 0; i + 1 < count; i++)
      if (merges[i].token >= 0 && (best == count || merges[i].key < merges[best].key)) best = i;
    if (best == count) break;
    symbols[best].token = merges[best].token;
    symbols[best].length += symbols[best + 1].length;
    count--;
    for (std::size_t i = best + 1; i < count; i++) symbols[i] = symbols[i + 1];
    for (std::size_t i = best; i + 1 < count; i++) merges[i] = merges[i + 1];
    if (best > 0) merges[best - 1] = merge(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merges[best] = merge(symbols[best], symbols[best + 1]);
  }
  symbols.resize(count);
}

template <class Find>
void merge_by_heap(std::vector<Symbol>& symbols, Find&& merge, MergeMemory& memory) {
  constexpr std::uint32_t kGone = ~std::uint32_t{0}, kDead = kGone - 1;
  const std::uint32_t count = static_cast<std::uint32_t>(symbols.size());
  auto& links = memory.links;
  auto& heap = memory.heap;
  const std::greater<> later;
  const auto candidate = [&](std::uint32_t left, std::uint32_t right) {
    const Merge found = merge(symbols[left], symbols[right]);
    if (found.token < 0) return false;
    heap.push_back(static_cast<std::uint64_t>(found.key) << 32 | left);
    return true;
  };

  links.resize(count);
  heap.clear();
  for (std::uint32_t i = 0; i < count; i++) links[i] = {i == 0 ? kGone : i - 1, i + 1 == count ? kGone : i + 1};
  for (std::uint32_t i = 0; i + 1 < count; i++) candidate(i, i + 1);
  std::make_heap(heap.begin(), heap.end(), later);

  while (!heap.empty()) {
    const std::uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    const std::uint32_t left = static_cast<std::uint32_t>(top), right = links[left].next;
    if (right >= kDead) continue;
    // If either symbol has changed since, the pair has no merge or one with another key, which has its own candidate.
    // (With the same key and place it is the same candidate.)
    const Merge found = merge(symbols[left], symbols[right]);
    if (found.token < 0 || found.key != top >> 32) continue;
    symbols[left].token = found.token;
    symbols[left].length += symbols[right].length;
    const std::uint32_t next = links[right].next, previous = links[left].previous;
    links[left].next = next;
    links[right].next = kDead;
    if (next != kGone) links[next].previous = left;
    if (previous != kGone && candidate(previous, left)) std::push_heap(heap.begin(), heap.end(), later);
    if (next != kGone && candidate(left, next)) std::push_heap(heap.begin(), heap.end(), later);
  }

  std::size_t kept = 0;
  for (std::uint32_t i = 0; i < count; i++)
    if (links[i].next != kDead) symbols[kept++] = symbols[i];
  symbols.resize(kept);
}

template <class Find>
void merge_symbols(std::vector<Symbol>& symbols, Find&& merge, MergeMemory& memory) {
  if (symbols.size() <= kShortMerge) {
    merge_by_scan(symbols, merge);
  } else {
    merge_by_heap(symbols, merge, memory);
  }
}

}  // namespace bitkerf
