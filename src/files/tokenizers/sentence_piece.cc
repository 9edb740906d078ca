// SentencePiece-type BPE (Llama 2, Gemma): neighbours merge when their text is a piece, best score first.
#include <bit>

#include "core/error.h"
#include "core/printable.h"
#include "files/tokenizers/algorithm.h"
#include "files/tokenizers/merge.h"
#include "files/tokenizers/piece_cache.h"
#include "files/tokenizers/space_marker.h"
#include "files/tokenizers/utf8.h"

namespace bitkerf {

SpacePrefix::SpacePrefix(const Metadata& metadata, bool otherwise)
    : space_first(metadata.boolean("tokenizer.ggml.add_space_prefix", otherwise)) {
  const std::string which = metadata.text("bitkerf.tokenizer.space_prefix", "always");
  if (which != "always" && which != "missing" && which != "first_missing")
    fail(Fault::file, "{}: bitkerf.tokenizer.space_prefix is \"{}\", expected always, missing or first_missing",
         metadata.where(), printable(which));
  only_missing = which != "always";
  only_at_start = which == "first_missing";
}

SpaceMarker::SpaceMarker(const Metadata& metadata, const Vocabulary& vocabulary, bool space_first)
    : prefix_(metadata, space_first) {
  for (Token token = 0; token < vocabulary.size(); token++) {
    const std::string_view text = vocabulary.text(token);
    for (std::size_t at = text.find(kSpaceMarker, 1); at < text.size(); at = text.find(kSpaceMarker, at + 1))
      joins_[static_cast<std::uint8_t>(text[at - 1])] = true;
  }
}

std::string SpaceMarker::mark(std::string_view text, bool at_start) const {
  std::string marked;
  marked.reserve(text.size() + text.size() / 2 + kSpaceMarker.size());
  const bool there = text.starts_with(' ') || text.starts_with(kSpaceMarker);
  if (prefix_.space_first && !(prefix_.only_missing && there) && (at_start || !prefix_.only_at_start))
    marked += kSpaceMarker;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t space = std::min(text.find(' ', at), text.size());
    marked += text.substr(at, space - at);
    if (space < text.size()) marked += kSpaceMarker;
    at = space + 1;
  }
  return marked;
}

void SpaceMarker::split(std::string_view marked, std::vector<Piece>& parts) const {
  parts.clear();
  std::size_t begin = 0;
  for (std::size_t at = marked.find(kSpaceMarker, 1); at < marked.size(); at = marked.find(kSpaceMarker, at + 1)) {
    if (joins_[static_cast<std::uint8_t>(marked[at - 1])]) continue;
    parts.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at)});
    begin = at;
  }
  if (begin < marked.size())
    parts.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(marked.size())});
}

namespace {

// Orders as the scores do, largest score first.
std::uint32_t key_of(float score) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // -0 becomes 0
  const std::uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

class SentencePiece final : public Algorithm {
 public:
  SentencePiece(const Metadata& metadata, const Vocabulary& vocabulary, const SpecialTokens& special)
      : vocabulary_(vocabulary), unknown_(special.unknown), marker_(metadata, vocabulary, true) {}

  void encode(std::string_view text, bool at_start, std::vector<Token>& tokens) const override {
    const std::string marked = marker_.mark(text, at_start);
    std::vector<Piece> parts;
    marker_.split(marked, parts);
    PieceCache cache;
    std::vector<Symbol> symbols;
    MergeMemory memory;
    for (const Piece& piece : parts) {
      cache.append(std::string_view(marked).substr(piece.begin, piece.end - piece.begin), tokens,
                   [&](std::string_view part, std::vector<Token>& out) { encode_part(part, symbols, memory, out); });
    }
  }

 private:
  void encode_part(std::string_view part, std::vector<Symbol>& symbols, MergeMemory& memory,
                   std::vector<Token>& tokens) const {
    symbols.clear();
    for (std::size_t at = 0; at < part.size();) {
      const std::uint32_t length = static_cast<std::uint32_t>(std::max(utf8_length(part, at), 1));
      symbols.push_back({vocabulary_.find(part.substr(at, length)), static_cast<std::uint32_t>(at), length});
      at += length;
    }
    const auto merge = [&](const Symbol& a, const Symbol& b) -> Merge {
      const Token token = vocabulary_.find(part.substr(a.begin, a.length + b.length));
      return {token < 0 ? 0 : key_of(vocabulary_.score(token)), token};
    };
    merge_symbols(symbols, merge, memory);
    for (const Symbol& symbol : symbols) {
      if (symbol.token >= 0) {
        tokens.push_back(symbol.token);
      } else {
        append_bytes(part.substr(symbol.begin, symbol.length), vocabulary_, unknown_, tokens);
      }
    }
  }

  const Vocabulary& vocabulary_;
  Token unknown_;
  SpaceMarker marker_;
};

}  // namespace

std::unique_ptr<Algorithm> make_sentence_piece(const Metadata& metadata, const Vocabulary& vocabulary,
                                               const SpecialTokens& special) {
  return std::make_unique<SentencePiece>(metadata, vocabulary, special);
}

}  // namespace bitkerf
