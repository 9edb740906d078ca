// The tables of a tokenizer (tokenizer.ggml.tokens, .scores, .token_type and the ids of special tokens), read from
// metadata we do not trust, checked once, and laid out for fast look-up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files/metadata.h"
#include "files/tokenizer.h"

namespace bitkerf {

// tokenizer.ggml.token_type, with SentencePiece's numbers.
enum class TokenType : std::uint8_t {
  undefined = 0,
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6,
};

// A token of more bytes than this is damage (the longest of the known vocabularies has 1024).
inline constexpr i64 kLongestToken = 1 << 14;
inline constexpr i64 kMostTokens = 1 << 24;

class Vocabulary {
 public:
  // `byte_level`: the texts of normal tokens are written in GPT-2's printable stand-ins for bytes and are decoded.
  Vocabulary(const Metadata& metadata, bool byte_level);

  i64 size() const { return static_cast<i64>(types_.size()); }
  std::string_view text(Token token) const {
    return std::string_view(texts_).substr(offsets_[token], offsets_[token + 1] - offsets_[token]);
  }
  TokenType type(Token token) const { return types_[token]; }
  void set_type(Token token, TokenType type) { types_[token] = type; }
  float score(Token token) const { return scores_.empty() ? 0.0f : scores_[token]; }
  bool has_scores() const { return !scores_.empty(); }
  i64 longest() const { return longest_; }

  // Whether plain text may become this token: control and unknown tokens and bytes written as <0x0A> are excluded,
  // so that nothing a user types can turn into one.
  bool spells_text(Token token) const {
    const TokenType type = types_[token];
    return type != TokenType::control && type != TokenType::unknown && type != TokenType::byte;
  }
  // The token that stands for this text (of a type for which spells_text()), or -1.
  Token find(std::string_view text) const;
  // Whether some token had this text when the file was read, but was made a control token since (set_type).
  bool is_taken(std::string_view text) const;
  // The token for one byte: <0x41> of type byte, else the token whose text is that byte; -1 when there is neither.
  Token byte_token(std::uint8_t byte) const { return byte_tokens_[byte]; }

  const std::string& where() const { return where_; }

 private:
  void read_types(const Metadata& metadata);
  void index_texts(const std::vector<bool>& unspelled);
  Token any_with(std::string_view text) const;

  std::string where_;
  std::string texts_;                     // all in a row
  std::vector<std::uint32_t> offsets_;    // size() + 1
  std::vector<TokenType> types_;
  std::vector<float> scores_;             // empty, or one per token
  // Open addressing. Half of the hash is kept beside the token, so that a text which is not there, as most pairs of
  // neighbours are not, costs one cache miss instead of three.
  struct Slot {
    std::uint32_t tag = 0;
    Token token = -1;  // -1: free
  };
  std::vector<Slot> slots_;
  Token byte_tokens_[256];
  i64 longest_ = 0;
};

// Ids of special tokens; -1 when there is none.
struct SpecialTokens {
  Token bos = -1, eos = -1, unknown = -1, separator = -1;
  bool adds_bos = false, adds_eos = false;
  std::vector<Token> ends;  // sorted: end of text, of turn, of message
};

// Which ids a model means when its file does not say so.
struct SpecialDefaults {
  Token bos = -1, eos = -1, unknown = -1, separator = -1;
  bool adds_bos = false, adds_eos = false;
};

// Reads the ids, finds what ends a generation by id and by name, and makes such tokens control tokens.
SpecialTokens read_special_tokens(const Metadata& metadata, const SpecialDefaults& defaults, Vocabulary& vocabulary);

// GPT-2's table of printable stand-ins: the code point that stands for a byte.
std::int32_t stand_in_of_byte(std::uint8_t byte);
// The bytes that a token written in stand-ins means; nothing when the text holds anything else.
std::optional<std::string> decode_stand_ins(std::string_view text);

}  // namespace bitkerf
