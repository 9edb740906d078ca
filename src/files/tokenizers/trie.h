// A set of byte strings with a value each, for walking along a text: all strings that start here, byte by byte.
// Built once from a sorted list; the children of a node lie in a row.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "core/view.h"

namespace bitkerf {

class Trie {
 public:
  static constexpr std::int32_t kNoValue = -1;

  Trie() : Trie(std::vector<std::pair<std::string_view, std::int32_t>>{}) {}
  // Empty strings are left out. Of equal strings the first one counts. The strings are not kept.
  explicit Trie(std::vector<std::pair<std::string_view, std::int32_t>> entries);

  bool empty() const { return nodes_.size() <= 1; }
  bool starts_with(std::uint8_t byte) const { return first_[byte] >= 0; }
  // The node after one more byte, -1 when there is none. The root is 0.
  std::int32_t step(std::int32_t node, std::uint8_t byte) const {
    if (node == 0) return first_[byte];
    const Node& parent = nodes_[node];
    const Node* low = nodes_.data() + parent.children;
    const Node* high = low + parent.count;
    while (high - low > 8) {
      const Node* middle = low + (high - low) / 2;
      (middle->byte <= byte ? low : high) = middle;
    }
    for (; low < high; low++)
      if (low->byte == byte) return static_cast<std::int32_t>(low - nodes_.data());
    return -1;
  }
  std::int32_t value(std::int32_t node) const { return nodes_[node].value; }

 private:
  struct Node {
    std::uint32_t children = 0;
    std::int32_t value = kNoValue;
    std::uint16_t count = 0;
    std::uint8_t byte = 0;
  };
  std::vector<Node> nodes_;
  std::int32_t first_[256];
};

}  // namespace bitkerf
