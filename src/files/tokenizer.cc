// The parts that all tokenizers share: special tokens cut out first, ids back to text, prompts, streams.
#include "files/tokenizer.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/printable.h"
#include "files/tokenizers/algorithm.h"
#include "files/tokenizers/normalizer.h"
#include "files/tokenizers/pre_tokenizers.h"
#include "files/tokenizers/special_cutter.h"
#include "files/tokenizers/utf8.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {
namespace {

// One row per tokenizer.ggml.model. The ids are what these models have where the file does not say.
constexpr TokenizerModel kModels[] = {
    {.name = "gpt2", .byte_level = true, .make = make_byte_level},
    {.name = "llama",
     .marks_spaces = true,
     .space_first = true,
     .defaults = {.bos = 1, .eos = 2, .unknown = 0, .adds_bos = true},
     .make = make_sentence_piece},
    {.name = "gemma4", .marks_spaces = true, .defaults = {.adds_bos = true}, .make = make_line_level},
    // BPE on characters from a tokenizer.json; no GGUF file has it.
    {.name = "bitkerf.characters", .marks_spaces = true, .make = make_character_level},
    {.name = "bert",
     .marks_spaces = true,
     .space_first = true,
     .defaults = {.bos = 101, .unknown = 100, .separator = 102, .adds_bos = true},
     .make = make_word_piece},
    {.name = "t5",
     .marks_spaces = true,
     .defaults = {.eos = 1, .unknown = 2, .adds_eos = true},
     .make = make_unigram},
};

const TokenizerModel& model_of(const Metadata& metadata) {
  const std::string& name = metadata.text("tokenizer.ggml.model");
  std::string known;
  for (const TokenizerModel& row : kModels) {
    if (row.name == name) return row;
    known += known.empty() ? "" : ", ";
    known += row.name;
  }
  fail(Fault::file, "{}: tokenizer.ggml.model is \"{}\", which is not supported; supported are {}", metadata.where(),
       printable(name), known);
}

// Ids of a list in the metadata, each checked; empty when the key is absent.
std::vector<Token> ids_of(const Metadata& metadata, std::string_view key, i64 size) {
  std::vector<Token> ids;
  const auto values = metadata.integers(key);
  if (!values) return ids;
  for (i64 id : *values) {
    if (id < 0 || id >= size)
      fail(Fault::file, "{}: {} has {}, expected ids from 0 to {}", metadata.where(), key, id, size - 1);
    ids.push_back(static_cast<Token>(id));
  }
  return ids;
}

// Phi-3 was trained with special tokens that swallow the white space behind them; its GGUF files do not say so.
std::vector<Token> strips_right_of(const Metadata& metadata, const Vocabulary& vocabulary) {
  std::string name = metadata.text("general.name", "");
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  if (metadata.has("bitkerf.tokenizer.strips_right") ||
      (name.find("phi-3") == std::string::npos && name.find("phi3") == std::string::npos))
    return ids_of(metadata, "bitkerf.tokenizer.strips_right", vocabulary.size());
  std::vector<Token> ids;
  for (Token token = 0; token < vocabulary.size(); token++) {
    const TokenType type = vocabulary.type(token);
    const std::string_view text = vocabulary.text(token);
    if (type != TokenType::control && type != TokenType::user_defined && type != TokenType::unknown) continue;
    if (text != "<unk>" && text != "<s>" && text != "<|endoftext|>") ids.push_back(token);
  }
  return ids;
}

class TextTokenizer final : public Tokenizer {
 public:
  TextTokenizer(const TokenizerModel& model, const Metadata& metadata)
      : model_(model),
        vocabulary_(metadata, model.byte_level),
        special_(read_special_tokens(metadata, defaults_of(model, metadata), vocabulary_)),
        normalizer_(metadata),
        drops_first_space_(metadata.boolean("tokenizer.ggml.add_space_prefix", model.space_first)) {
    cutter_ = SpecialCutter(vocabulary_, ids_of(metadata, "bitkerf.tokenizer.strips_left", vocabulary_.size()),
                            strips_right_of(metadata, vocabulary_));
    algorithm_ = model.make(metadata, vocabulary_, special_);
    size_ = vocabulary_.size();
    bos_ = special_.bos, eos_ = special_.eos, unknown_ = special_.unknown;
    adds_bos_ = special_.adds_bos, adds_eos_ = special_.adds_eos;
    if (special_.separator >= 0 && eos_ < 0) eos_ = special_.separator, adds_eos_ = true;  // BERT's [SEP]
    ends_ = special_.ends;
    control_.resize(size_);
    for (Token token = 0; token < size_; token++) control_[token] = vocabulary_.type(token) == TokenType::control;
  }

  std::vector<Token> encode(std::string_view text, Specials specials) const override {
    if (text.size() > kLongestText)
      fail(Fault::usage, "the text has {} bytes, expected at most {}", text.size(), kLongestText);
    std::vector<Token> tokens;
    tokens.reserve(text.size() / 3 + 16);
    bool at_start = true;
    cutter_.cut(
        text, specials,
        [&](std::string_view plain) {
          if (normalizer_.empty()) {
            algorithm_->encode(plain, at_start, tokens);
          } else if (const std::string normalized = normalizer_.apply(plain); !normalized.empty()) {
            algorithm_->encode(normalized, at_start, tokens);
          }
          at_start = false;
        },
        [&](Token token) {
          tokens.push_back(token);
          at_start = false;
        });
    return tokens;
  }

  std::string piece(Token token, bool specials) const override {
    if (token < 0 || token >= size_) return {};
    const std::string_view text = vocabulary_.text(token);
    switch (vocabulary_.type(token)) {
      case TokenType::control:
      case TokenType::unknown: return specials ? std::string(text) : std::string();
      case TokenType::user_defined: return std::string(text);
      case TokenType::byte: return std::string(1, byte_of(text));
      default: return model_.marks_spaces ? without_markers(text) : std::string(text);
    }
  }

  std::string decode(std::span<const Token> tokens, bool specials) const override {
    std::string text;
    bool first = drops_first_space_;
    for (Token token : tokens) {
      std::string part = piece(token, specials);
      if (first && !part.empty()) {
        first = false;
        if (part[0] == ' ') part.erase(0, 1);
      }
      text += part;
    }
    return text;
  }

 private:
  static SpecialDefaults defaults_of(const TokenizerModel& model, const Metadata& metadata) {
    SpecialDefaults defaults = model.defaults;
    if (model.byte_level && !metadata.has("bitkerf.tokenizer.patterns"))
      defaults.adds_bos = pre_tokenizer_of(metadata).adds_bos;
    return defaults;
  }
  static char byte_of(std::string_view name) {  // <0x41>, checked when the vocabulary was read
    const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
    return static_cast<char>(digit(name[3]) * 16 + digit(name[4]));
  }
  static std::string without_markers(std::string_view text) {
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t marker = std::min(text.find(kSpaceMarker, at), text.size());
      result += text.substr(at, marker - at);
      if (marker < text.size()) result += ' ';
      at = marker + kSpaceMarker.size();
    }
    return result;
  }

  const TokenizerModel& model_;
  Vocabulary vocabulary_;
  SpecialTokens special_;
  Normalizer normalizer_;
  SpecialCutter cutter_;
  std::unique_ptr<Algorithm> algorithm_;
  bool drops_first_space_;
};

// Bytes at text[at] that begin a valid character, at least 1; `whole` when they are one, `open` when the text ends
// before it is decided.
struct Begun {
  std::size_t bytes;
  bool whole, open;
};
Begun begun_character(std::string_view text, std::size_t at) {
  if (const int length = utf8_length(text, at); length > 0) return {static_cast<std::size_t>(length), true, false};
  // Try to complete what is there: if some continuation makes it valid, the character may still come.
  for (std::size_t bytes = std::min<std::size_t>(3, text.size() - at); bytes > 0; bytes--) {
    for (char second : {'\x80', '\xBF'}) {  // the extremes of what a second byte may be
      std::string completed(text.substr(at, bytes));
      completed += second;
      completed += "\x80\x80\x80";
      if (utf8_length(completed, 0) > static_cast<int>(bytes)) return {bytes, false, at + bytes == text.size()};
    }
  }
  return {1, false, false};
}

}  // namespace

void append_bytes(std::string_view bytes, const Vocabulary& vocabulary, Token unknown, std::vector<Token>& tokens) {
  const std::size_t before = tokens.size();
  for (char c : bytes) {
    const Token token = vocabulary.byte_token(static_cast<std::uint8_t>(c));
    if (token < 0) {
      tokens.resize(before);
      if (unknown >= 0) tokens.push_back(unknown);
      return;
    }
    tokens.push_back(token);
  }
}

bool Tokenizer::ends_generation(Token token) const { return std::binary_search(ends_.begin(), ends_.end(), token); }

bool Tokenizer::is_control(Token token) const { return token >= 0 && token < size_ && control_[token]; }

std::vector<Token> Tokenizer::encode_prompt(std::string_view text, Specials specials) const {
  std::vector<Token> tokens = encode(text, specials);
  if (adds_bos_) tokens.insert(tokens.begin(), bos_);
  if (adds_eos_) tokens.push_back(eos_);
  return tokens;
}

std::unique_ptr<Tokenizer> make_tokenizer(const Metadata& metadata) {
  return std::make_unique<TextTokenizer>(model_of(metadata), metadata);
}

std::string StreamDecoder::add(Token token) {
  const std::string part = first_ ? tokenizer_.decode({&token, 1}) : tokenizer_.piece(token);
  if (!part.empty() || !tokenizer_.piece(token).empty()) first_ = false;
  held_ += part;
  std::string text;
  std::size_t at = 0;
  while (at < held_.size()) {
    const Begun character = begun_character(held_, at);
    if (character.open) break;
    text += character.whole ? std::string_view(held_).substr(at, character.bytes) : kReplacement;
    at += character.bytes;
  }
  held_.erase(0, at);
  return text;
}

std::string StreamDecoder::finish() {
  const std::string text(held_.empty() ? std::string_view() : kReplacement);
  held_.clear();
  return text;
}

}  // namespace bitkerf
