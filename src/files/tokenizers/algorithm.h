// What the tokenizer models differ in: how text without special tokens becomes ids, and what a token's text means.
// Everything around it (special tokens, pieces, prompts) is TextTokenizer, once for all, in files/tokenizer.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "files/tokenizers/vocabulary.h"

namespace bitkerf {

class Algorithm {
 public:
  virtual ~Algorithm() = default;
  // Appends the ids of the text (not empty), which starts the input (`at_start`) or follows a special token. May be
  // called from several threads.
  virtual void encode(std::string_view text, bool at_start, std::vector<Token>& tokens) const = 0;
};

// Longest text that encode() takes: positions are 32-bit, and escaped spaces need three bytes each.
inline constexpr std::size_t kLongestText = std::size_t{1} << 30;

// How to build and read one tokenizer.ggml.model.
struct TokenizerModel {
  std::string_view name;
  bool byte_level = false;     // normal tokens are written in printable stand-ins for bytes
  bool marks_spaces = false;   // normal tokens are written with U+2581 for a space
  bool space_first = false;    // encoding puts a space in front of a text and decoding drops it, unless the file says
  SpecialDefaults defaults{};
  std::unique_ptr<Algorithm> (*make)(const Metadata& metadata, const Vocabulary& vocabulary,
                                     const SpecialTokens& special);
};

// The algorithms; each keeps a reference to the vocabulary. In tokenizers/*.cc.
std::unique_ptr<Algorithm> make_byte_level(const Metadata&, const Vocabulary&, const SpecialTokens&);
std::unique_ptr<Algorithm> make_character_level(const Metadata&, const Vocabulary&, const SpecialTokens&);
std::unique_ptr<Algorithm> make_line_level(const Metadata&, const Vocabulary&, const SpecialTokens&);
std::unique_ptr<Algorithm> make_sentence_piece(const Metadata&, const Vocabulary&, const SpecialTokens&);
std::unique_ptr<Algorithm> make_word_piece(const Metadata&, const Vocabulary&, const SpecialTokens&);
std::unique_ptr<Algorithm> make_unigram(const Metadata&, const Vocabulary&, const SpecialTokens&);

// Appends the tokens of a character that no piece spells: one per byte, or the unknown token where one is missing.
void append_bytes(std::string_view bytes, const Vocabulary& vocabulary, Token unknown, std::vector<Token>& tokens);

}  // namespace bitkerf
