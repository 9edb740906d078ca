// Finds the tokens that are cut out of a text before anything else happens to it: control tokens (only where the
// caller allows them) and user-defined ones. The leftmost match wins, and of those that start there the longest.
#pragma once

#include <string_view>
#include <vector>

#include "files/tokenizers/trie.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {

class SpecialCutter {
 public:
  SpecialCutter() = default;
  // `strips_left`, `strips_right`: tokens that swallow the white space in front of or behind them.
  SpecialCutter(const Vocabulary& vocabulary, std::vector<Token> strips_left, std::vector<Token> strips_right);

  // Calls plain(text) for what lies between (never empty) and token(id) for each match, in order.
  template <class Plain, class OnToken>
  void cut(std::string_view text, Specials specials, Plain&& plain, OnToken&& token) const {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
      if (!trie_.starts_with(static_cast<std::uint8_t>(text[at]))) {
        at++;
        continue;
      }
      const Match match = longest_at(text, at, specials);
      if (match.token < 0) {
        at++;
        continue;
      }
      std::size_t end = at;
      if (strips(strips_left_, match.token))
        while (end > begin && is_space(text[end - 1])) end--;
      if (end > begin) plain(text.substr(begin, end - begin));
      token(match.token);
      at += match.length;
      if (strips(strips_right_, match.token))
        while (at < text.size() && is_space(text[at])) at++;
      begin = at;
    }
    if (begin < text.size()) plain(text.substr(begin));
  }

 private:
  struct Match {
    Token token;
    std::size_t length;
  };
  Match longest_at(std::string_view text, std::size_t at, Specials specials) const;
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  static bool strips(const std::vector<Token>& sorted, Token token);

  Trie trie_;
  std::vector<std::uint8_t> always_;  // per value of the trie: also found when specials are text
  std::vector<Token> tokens_;
  std::vector<Token> strips_left_, strips_right_;  // sorted
};

}  // namespace bitkerf
