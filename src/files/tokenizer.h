// Text to token ids and back. The four algorithms (byte-level BPE, SentencePiece-type BPE, WordPiece, Unigram) are
// built from a model file's metadata (tokenizer.ggml.*; a Hugging Face folder's tokenizer.json is translated to it).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/metadata.h"

namespace bitkerf {

using Token = std::int32_t;

// What to do with text such as "<|im_start|>" that spells a control token.
enum class Specials {
  as_text,    // the user's text: control tokens are never produced
  as_tokens,  // a rendered chat template, or a prompt that the user wrote with markup on purpose
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Any bytes are accepted; invalid UTF-8 goes through byte fallback or becomes the unknown token, as llama.cpp does.
  virtual std::vector<Token> encode(std::string_view text, Specials specials) const = 0;
  // The bytes that the token stands for, as they appear in running text; empty for control tokens unless `specials`.
  virtual std::string piece(Token token, bool specials = false) const = 0;
  // The text of the tokens. Differs from the pieces in a row only at the start (SentencePiece drops one space).
  virtual std::string decode(std::span<const Token> tokens, bool specials = false) const = 0;

  i64 size() const { return size_; }
  Token bos() const { return bos_; }                       // -1 when there is none
  Token eos() const { return eos_; }
  Token unknown() const { return unknown_; }
  bool adds_bos() const { return adds_bos_; }              // put bos in front of a prompt
  bool adds_eos() const { return adds_eos_; }
  bool ends_generation(Token token) const;                 // eos, end of turn, <|im_end|> ...
  bool is_control(Token token) const;
  // encode() with bos/eos as the model wants them around a prompt.
  std::vector<Token> encode_prompt(std::string_view text, Specials specials) const;

 protected:
  i64 size_ = 0;
  Token bos_ = -1, eos_ = -1, unknown_ = -1;
  bool adds_bos_ = false, adds_eos_ = false;
  std::vector<Token> ends_;            // sorted
  std::vector<std::uint8_t> control_;  // per token
};

// Throws Error{Fault::file} when the tables are damaged or the type is not known (naming the known ones).
std::unique_ptr<Tokenizer> make_tokenizer(const Metadata& metadata);

// Turns a stream of tokens into printable text: holds back the bytes of an unfinished UTF-8 character.
class StreamDecoder {
 public:
  // The stream continues a text, so a space at its start is printed. With `from_start` it is a text of its own, and
  // all that add() and finish() return is decode() of the tokens (with U+FFFD for what is not UTF-8).
  explicit StreamDecoder(const Tokenizer& tokenizer, bool from_start = false)
      : tokenizer_(tokenizer), first_(from_start) {}
  std::string add(Token token);  // complete characters only
  std::string finish();          // what is left; a broken character becomes U+FFFD

 private:
  const Tokenizer& tokenizer_;
  std::string held_;
  bool first_;
};

}  // namespace bitkerf
