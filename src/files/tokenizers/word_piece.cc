// WordPiece (BERT): text is cleaned and cut into words at spaces, signs and Chinese characters; a word is cut into the
// longest pieces from the left. As GGUF stores it, a piece that starts a word begins with U+2581.
#include "core/error.h"
#include "files/tokenizers/algorithm.h"
#include "files/tokenizers/normalizer.h"
#include "files/tokenizers/trie.h"
#include "files/tokenizers/utf8.h"

namespace bitkerf {
namespace {

// The blocks that BERT's own tokenizer sets apart, one word per character.
bool is_chinese(std::int32_t code) {
  struct Block {
    std::int32_t first, last;
  };
  constexpr Block kBlocks[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                               {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  if (code < 0x3400) return false;
  for (const Block& block : kBlocks)
    if (code >= block.first && code <= block.last) return true;
  return false;
}

class WordPiece final : public Algorithm {
 public:
  WordPiece(const Metadata& metadata, const Vocabulary& vocabulary, const SpecialTokens& special)
      : unknown_(special.unknown),
        lowercase_(metadata.boolean("tokenizer.ggml.normalizer.lowercase", true)),
        strips_accents_(metadata.boolean("tokenizer.ggml.normalizer.strip_accents", lowercase_)),
        most_characters_(metadata.integer("bitkerf.tokenizer.max_word_characters", 1, i64{1} << 40, i64{1} << 40)) {
    std::vector<std::pair<std::string_view, std::int32_t>> entries;
    for (Token token = 0; token < vocabulary.size(); token++)
      if (vocabulary.spells_text(token)) entries.emplace_back(vocabulary.text(token), token);
    trie_ = Trie(std::move(entries));
  }

  void encode(std::string_view text, bool, std::vector<Token>& tokens) const override {
    std::string word;
    i64 characters = 0;
    const auto finish = [&] {
      if (characters > 0) encode_word(word, characters, tokens);
      word = kSpaceMarker;
      characters = 0;
    };
    finish();
    const auto take = [&](std::int32_t code) {
      if (code == '\t' || code == '\n' || code == '\r') return finish();
      if (code == 0 || code == 0xFFFD || is_control_code(code)) return;  // U+000B, too: it does not end a word
      if (is_white_space(code)) return finish();
      if (strips_accents_ && is_nonspacing_mark(code)) return;
      if (lowercase_) code = lowercase_of(code);
      const bool alone = is_punctuation(code) || (code < 0x7F && is_symbol(code)) || is_chinese(code);
      if (alone) finish();
      utf8_append(word, code);
      characters++;
      if (alone) finish();
    };
    // Invalid bytes are dropped, as U+FFFD is, which they would have to become.
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = at;
      for (int length; end < text.size() && (length = utf8_length(text, end)) > 0;) end += length;
      const std::string plain =
          strips_accents_ ? decomposed(text.substr(at, end - at)) : std::string(text.substr(at, end - at));
      for (std::size_t i = 0; i < plain.size();) {
        const int length = utf8_length(plain, i);
        take(utf8_decode(plain, i, length));
        i += length;
      }
      at = end + (end < text.size() ? 1 : 0);
    }
    finish();
  }

 private:
  void encode_word(std::string_view word, i64 characters, std::vector<Token>& tokens) const {
    const std::size_t before = tokens.size();
    bool spelled = characters <= most_characters_;
    for (std::size_t at = 0; spelled && at < word.size();) {
      std::int32_t node = 0;
      Token longest = -1;
      std::size_t end = at;
      for (std::size_t i = at; i < word.size(); i++) {
        node = trie_.step(node, static_cast<std::uint8_t>(word[i]));
        if (node < 0) break;
        if (trie_.value(node) != Trie::kNoValue) longest = trie_.value(node), end = i + 1;
      }
      if (longest >= 0) tokens.push_back(longest);
      spelled = longest >= 0;
      at = end;
    }
    if (spelled) return;
    tokens.resize(before);
    if (unknown_ >= 0) tokens.push_back(unknown_);
  }

  Trie trie_;
  Token unknown_;
  bool lowercase_, strips_accents_;
  i64 most_characters_;
};

}  // namespace

std::unique_ptr<Algorithm> make_word_piece(const Metadata& metadata, const Vocabulary& vocabulary,
                                           const SpecialTokens& special) {
  return std::make_unique<WordPiece>(metadata, vocabulary, special);
}

}  // namespace bitkerf
