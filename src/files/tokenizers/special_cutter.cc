#include "files/tokenizers/special_cutter.h"

#include <algorithm>

#include "core/error.h"
#include "core/printable.h"

namespace bitkerf {

SpecialCutter::SpecialCutter(const Vocabulary& vocabulary, std::vector<Token> strips_left,
                             std::vector<Token> strips_right)
    : strips_left_(std::move(strips_left)), strips_right_(std::move(strips_right)) {
  std::vector<std::pair<std::string_view, std::int32_t>> entries;
  for (Token token = 0; token < vocabulary.size(); token++) {
    const TokenType type = vocabulary.type(token);
    const bool always = type == TokenType::user_defined;
    if (!always && type != TokenType::control && type != TokenType::unknown) continue;
    entries.emplace_back(vocabulary.text(token), static_cast<std::int32_t>(tokens_.size()));
    tokens_.push_back(token);
    always_.push_back(always);
  }
  std::sort(entries.begin(), entries.end());
  for (std::size_t i = 1; i < entries.size(); i++)
    if (entries[i].first == entries[i - 1].first && !entries[i].first.empty())
      fail(Fault::file, "{}: special tokens {} and {} are both \"{}\", expected different texts", vocabulary.where(),
           tokens_[entries[i - 1].second], tokens_[entries[i].second], printable(entries[i].first));
  trie_ = Trie(std::move(entries));
  std::sort(strips_left_.begin(), strips_left_.end());
  std::sort(strips_right_.begin(), strips_right_.end());
}

SpecialCutter::Match SpecialCutter::longest_at(std::string_view text, std::size_t at, Specials specials) const {
  Match best{-1, 0};
  std::int32_t node = 0;
  for (std::size_t i = at; i < text.size(); i++) {
    node = trie_.step(node, static_cast<std::uint8_t>(text[i]));
    if (node < 0) break;
    const std::int32_t value = trie_.value(node);
    if (value == Trie::kNoValue || (specials == Specials::as_text && !always_[value])) continue;
    best = {tokens_[value], i + 1 - at};
  }
  return best;
}

bool SpecialCutter::strips(const std::vector<Token>& sorted, Token token) {
  return !sorted.empty() && std::binary_search(sorted.begin(), sorted.end(), token);
}

}  // namespace bitkerf
