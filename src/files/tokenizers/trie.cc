#include "files/tokenizers/trie.h"

#include <algorithm>

namespace bitkerf {

Trie::Trie(std::vector<std::pair<std::string_view, std::int32_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  // Level by level: a node stands for the entries [begin, end) that share their first `depth` bytes.
  struct Range {
    std::uint32_t node, begin, end;
  };
  std::vector<Range> level{{0, 0, static_cast<std::uint32_t>(entries.size())}}, next;
  nodes_.emplace_back();
  for (std::size_t depth = 0; !level.empty(); depth++, level.swap(next), next.clear()) {
    for (const Range& range : level) {
      std::uint32_t at = range.begin;
      while (at < range.end && entries[at].first.size() == depth) {
        if (depth > 0 && nodes_[range.node].value == kNoValue) nodes_[range.node].value = entries[at].second;
        at++;
      }
      nodes_[range.node].children = static_cast<std::uint32_t>(nodes_.size());
      while (at < range.end) {
        const char byte = entries[at].first[depth];
        std::uint32_t end = at;
        while (end < range.end && entries[end].first[depth] == byte) end++;
        next.push_back({static_cast<std::uint32_t>(nodes_.size()), at, end});
        nodes_[range.node].count++;
        nodes_.emplace_back();
        nodes_.back().byte = static_cast<std::uint8_t>(byte);
        at = end;
      }
    }
  }
  std::fill(std::begin(first_), std::end(first_), -1);
  for (std::uint32_t i = 0; i < nodes_[0].count; i++) {
    const std::uint32_t child = nodes_[0].children + i;
    first_[nodes_[child].byte] = static_cast<std::int32_t>(child);
  }
}

}  // namespace bitkerf
