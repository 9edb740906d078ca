// Pre-tokens that one call of encode() has met, and their ids. Words repeat: a novel of 80,000 words has 7,000
// distinct ones. The keys are views into the text that is being encoded, so the cache lives as long as the call.
#pragma once

#include <cstring>
#include <string_view>
#include <vector>

#include "files/tokenizer.h"
#include "files/tokenizers/flat_table.h"

namespace bitkerf {

class PieceCache {
 public:
  // Appends the ids of `piece`, computed by compute(piece, tokens) when they are not known.
  template <class Compute>
  void append(std::string_view piece, std::vector<Token>& tokens, Compute&& compute) {
    if (piece.size() > kLongest) return compute(piece, tokens);
    const std::uint64_t hash = hash_of(piece);
    if (const Entry* entry = entries_.find(hash); entry && entry->piece == piece) {
      tokens.insert(tokens.end(), ids_.begin() + entry->first, ids_.begin() + entry->first + entry->count);
      return;
    }
    const std::size_t before = tokens.size();
    compute(piece, tokens);
    const Entry entry{piece, static_cast<std::uint32_t>(ids_.size()),
                      static_cast<std::uint32_t>(tokens.size() - before)};
    ids_.insert(ids_.end(), tokens.begin() + before, tokens.end());
    entries_.insert(hash, entry).first = entry;
    if (++count_ == kMost) *this = PieceCache();
  }

 private:
  static constexpr std::size_t kLongest = 48;  // longer ones hardly repeat
  static constexpr i64 kMost = 1 << 17;        // about 10 MB

  struct Entry {
    std::string_view piece;
    std::uint32_t first = 0, count = 0;
  };
  static std::uint64_t hash_of(std::string_view piece) {
    std::uint64_t hash = piece.size();
    std::size_t at = 0;
    for (; at + 8 <= piece.size(); at += 8) {
      std::uint64_t word;
      std::memcpy(&word, piece.data() + at, 8);
      hash = mix_bits(hash ^ word);
    }
    std::uint64_t word = 0;
    std::memcpy(&word, piece.data() + at, piece.size() - at);
    hash = mix_bits(hash ^ word);
    return hash == FlatTable<Entry>::kNone ? 0 : hash;
  }

  FlatTable<Entry> entries_;
  std::vector<Token> ids_;
  i64 count_ = 0;
};

}  // namespace bitkerf
