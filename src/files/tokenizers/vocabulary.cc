#include "files/tokenizers/vocabulary.h"

#include <array>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/printable.h"
#include "files/tokenizers/flat_table.h"
#include "files/tokenizers/utf8.h"

namespace bitkerf {
namespace {

std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = text.size() * 0x9E3779B97F4A7C15u;
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    hash = mix_bits(hash ^ word);
  }
  std::uint64_t word = 0;
  std::memcpy(&word, at, left);
  return mix_bits(hash ^ word);
}

// GPT-2 lets printable bytes stand for themselves and numbers the others from U+0100 on.
constexpr bool is_printable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

struct StandIns {
  std::array<std::int16_t, 256> of_byte{};
  std::array<std::int16_t, 0x200> to_byte{};
  constexpr StandIns() {
    to_byte.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; byte++) {
      const int code = is_printable(byte) ? byte : next++;
      of_byte[byte] = static_cast<std::int16_t>(code);
      to_byte[code] = static_cast<std::int16_t>(byte);
    }
  }
};
constexpr StandIns kStandIns;

// The byte that <0x41> names, or -1.
int named_byte(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  int value = 0;
  for (char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace

std::int32_t stand_in_of_byte(std::uint8_t byte) { return kStandIns.of_byte[byte]; }

std::optional<std::string> decode_stand_ins(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const int length = utf8_length(text, at);
    const std::int32_t code = length > 0 && length <= 2 ? utf8_decode(text, at, length) : 0x200;
    if (code >= 0x200 || kStandIns.to_byte[code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kStandIns.to_byte[code]));
    at += length;
  }
  return bytes;
}

Vocabulary::Vocabulary(const Metadata& metadata, bool byte_level) : where_(metadata.where()) {
  const std::vector<std::string>* tokens = metadata.texts("tokenizer.ggml.tokens");
  if (!tokens) fail(Fault::file, "{}: tokenizer.ggml.tokens is missing", where_);
  const i64 count = static_cast<i64>(tokens->size());
  if (count < 1 || count > kMostTokens)
    fail(Fault::file, "{}: tokenizer.ggml.tokens has {} entries, expected 1 to {}", where_, count, kMostTokens);
  types_.assign(count, TokenType::normal);
  read_types(metadata);

  if (const auto scores = metadata.numbers("tokenizer.ggml.scores")) {
    if (static_cast<i64>(scores->size()) != count)
      fail(Fault::file, "{}: tokenizer.ggml.scores has {} entries, expected {} as tokenizer.ggml.tokens", where_,
           scores->size(), count);
    scores_.reserve(count);
    for (double score : *scores) {
      if (!(std::abs(score) <= 1e30))
        fail(Fault::file, "{}: tokenizer.ggml.scores has {} at {}, expected a finite number", where_, score,
             scores_.size());
      scores_.push_back(static_cast<float>(score));
    }
  }

  i64 bytes = 0;
  for (const std::string& text : *tokens) {
    const i64 length = static_cast<i64>(text.size());
    if (length > kLongestToken)
      fail(Fault::file, "{}: a token of tokenizer.ggml.tokens has {} bytes, expected at most {}", where_, length,
           kLongestToken);
    bytes += length;
  }
  if (bytes > i64{1} << 31)
    fail(Fault::file, "{}: tokenizer.ggml.tokens has {} bytes of text, expected less than 2 GiB", where_, bytes);
  texts_.reserve(bytes);
  offsets_.reserve(count + 1);
  offsets_.push_back(0);
  std::vector<bool> unspelled(count);
  for (i64 token = 0; token < count; token++) {
    const std::string& text = (*tokens)[token];
    const TokenType type = types_[token];
    const bool decoded = byte_level && type != TokenType::control && type != TokenType::user_defined &&
                         type != TokenType::unknown && type != TokenType::byte;
    const std::optional<std::string> bytes = decoded ? decode_stand_ins(text) : text;
    // A normal token that is not written in stand-ins (some vocabularies have a few) stands for its text, but no text
    // becomes it: merges do not produce it.
    if (!bytes) unspelled[token] = true;
    texts_ += bytes ? *bytes : text;
    offsets_.push_back(static_cast<std::uint32_t>(texts_.size()));
    longest_ = std::max(longest_, static_cast<i64>(offsets_[token + 1] - offsets_[token]));
  }
  index_texts(unspelled);
}

void Vocabulary::read_types(const Metadata& metadata) {
  const auto types = metadata.integers("tokenizer.ggml.token_type");
  if (!types) return;
  if (types->size() != types_.size())
    fail(Fault::file, "{}: tokenizer.ggml.token_type has {} entries, expected {} as tokenizer.ggml.tokens", where_,
         types->size(), types_.size());
  for (std::size_t token = 0; token < types_.size(); token++) {
    const i64 type = (*types)[token];
    if (type < 0 || type > static_cast<i64>(TokenType::byte))
      fail(Fault::file, "{}: tokenizer.ggml.token_type has {} at {}, expected 0 to 6", where_, type, token);
    types_[token] = static_cast<TokenType>(type);
  }
}

void Vocabulary::index_texts(const std::vector<bool>& unspelled) {
  std::size_t slots = 16;
  while (slots < 2 * types_.size()) slots *= 2;
  slots_.assign(slots, {});
  std::fill(std::begin(byte_tokens_), std::end(byte_tokens_), -1);
  for (Token token = 0; token < size(); token++) {
    const std::string_view name = text(token);
    if (types_[token] == TokenType::byte) {
      const int byte = named_byte(name);
      if (byte < 0)
        fail(Fault::file, "{}: token {} is of type byte but its text is \"{}\", expected <0x00> to <0xFF>", where_,
             token, printable(name));
      if (byte_tokens_[byte] >= 0)
        fail(Fault::file, "{}: tokens {} and {} both stand for byte {}", where_, byte_tokens_[byte], token, byte);
      byte_tokens_[byte] = token;
    }
    // An empty text (some converters leave one for an unused id) is never found; two of them are not ambiguous.
    if (name.empty() || !spells_text(token) || unspelled[token]) continue;
    const std::uint64_t hash = hash_text(name);
    const std::uint32_t tag = static_cast<std::uint32_t>(hash >> 32);
    std::size_t at = hash & (slots - 1);
    for (; slots_[at].token >= 0; at = (at + 1) & (slots - 1)) {
      const Token other = slots_[at].token;
      if (slots_[at].tag != tag || text(other) != name) continue;
      // A user-defined token may spell what a normal one does (é itself, and the two bytes of é): text that reaches
      // the merges has no user-defined tokens left in it, so there the normal one counts.
      if ((types_[token] == TokenType::user_defined) == (types_[other] == TokenType::user_defined))
        fail(Fault::file, "{}: tokens {} and {} are both \"{}\", expected different texts", where_, other, token,
             printable(name));
      break;
    }
    if (slots_[at].token < 0 || types_[token] != TokenType::user_defined) slots_[at] = {tag, token};
  }
  for (int byte = 0; byte < 256; byte++) {
    const char c = static_cast<char>(byte);
    if (byte_tokens_[byte] < 0) byte_tokens_[byte] = find({&c, 1});
  }
}

Token Vocabulary::any_with(std::string_view wanted) const {
  if (static_cast<i64>(wanted.size()) > longest_) return -1;
  const std::size_t mask = slots_.size() - 1;
  const std::uint64_t hash = hash_text(wanted);
  const std::uint32_t tag = static_cast<std::uint32_t>(hash >> 32);
  for (std::size_t at = hash & mask; slots_[at].token >= 0; at = (at + 1) & mask)
    if (slots_[at].tag == tag && text(slots_[at].token) == wanted) return slots_[at].token;
  return -1;
}

Token Vocabulary::find(std::string_view wanted) const {
  const Token token = any_with(wanted);
  return token >= 0 && spells_text(token) ? token : -1;
}

bool Vocabulary::is_taken(std::string_view wanted) const {
  const Token token = any_with(wanted);
  return token >= 0 && !spells_text(token);
}

}  // namespace bitkerf
