// Byte pair encoding with a list of merges: byte-level (GPT-2 and most others), and on characters with SentencePiece's
// space marker (Gemma 4, and tokenizer.json files made from SentencePiece models).
#include <cstring>

#include "core/error.h"
#include "core/printable.h"
#include "files/tokenizers/algorithm.h"
#include "files/tokenizers/merge.h"
#include "files/tokenizers/piece_cache.h"
#include "files/tokenizers/pre_tokenizers.h"
#include "files/tokenizers/space_marker.h"
#include "files/tokenizers/utf8.h"

namespace bitkerf {
namespace {

// The merges of tokenizer.ggml.merges by the ids of their two sides.
class MergeTable {
 public:
  MergeTable(const Metadata& metadata, const Vocabulary& vocabulary, bool byte_level) {
    const std::string& where = metadata.where();
    const std::vector<std::string>* lines = metadata.texts("tokenizer.ggml.merges");
    if (!lines) fail(Fault::file, "{}: tokenizer.ggml.merges is missing, a BPE tokenizer needs it", where);
    if (static_cast<i64>(lines->size()) > 8 * kMostTokens)
      fail(Fault::file, "{}: tokenizer.ggml.merges has {} entries, expected at most {}", where, lines->size(),
           8 * kMostTokens);
    table_ = FlatTable<Merge>(static_cast<i64>(lines->size()));
    for (std::size_t rank = 0; rank < lines->size(); rank++) {
      const std::string& line = (*lines)[rank];
      // The separator is the first space that is not the first character.
      const std::size_t space = line.find(' ', 1);
      if (space == std::string::npos)
        fail(Fault::file, "{}: tokenizer.ggml.merges has \"{}\" at {}, expected two pieces with a space between", where,
             printable(line), rank);
      std::string left = line.substr(0, space), right = line.substr(space + 1);
      if (byte_level) left = decode_stand_ins(left).value_or(left), right = decode_stand_ins(right).value_or(right);
      const Token a = vocabulary.find(left), b = vocabulary.find(right), both = vocabulary.find(left + right);
      // What is a control token by its name cannot be made by a merge, whatever its type in the file was.
      if (vocabulary.is_taken(left) || vocabulary.is_taken(right) || vocabulary.is_taken(left + right)) continue;
      if (a < 0 || b < 0 || both < 0)
        fail(Fault::file, "{}: merge {} of tokenizer.ggml.merges is \"{}\", expected pieces that are tokens", where,
             rank, printable(line));
      table_.insert(key(a, b), {static_cast<std::uint32_t>(rank), both});  // of equal merges the first counts
    }
  }
  Merge find(Token left, Token right) const {
    if (left < 0 || right < 0) return {0, -1};
    const Merge* found = table_.find(key(left, right));
    return found ? *found : Merge{0, -1};
  }

 private:
  static std::uint64_t key(Token left, Token right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  FlatTable<Merge> table_;
};

// Merges the symbols and appends what they are in the end.
void merge_and_append(std::string_view text, std::vector<Symbol>& symbols, const MergeTable& merges,
                      MergeMemory& memory, const Vocabulary& vocabulary, Token unknown, std::vector<Token>& tokens) {
  merge_symbols(symbols, [&](const Symbol& a, const Symbol& b) { return merges.find(a.token, b.token); }, memory);
  for (const Symbol& symbol : symbols) {
    if (symbol.token >= 0) {
      tokens.push_back(symbol.token);
    } else {
      append_bytes(text.substr(symbol.begin, symbol.length), vocabulary, unknown, tokens);
    }
  }
}

// Some vocabularies lack a few control characters. Their bytes become the unknown token, or nothing where the file
// names a control token as the unknown one (often the end of text), which text must never become.
Token stand_in_for_bytes(const Vocabulary& vocabulary, Token unknown) {
  return unknown >= 0 && vocabulary.type(unknown) == TokenType::control ? -1 : unknown;
}

class ByteLevel final : public Algorithm {
 public:
  ByteLevel(const Metadata& metadata, const Vocabulary& vocabulary, const SpecialTokens& special,
            std::span<const std::string_view> patterns, bool whole_words_first)
      : vocabulary_(vocabulary),
        unknown_(stand_in_for_bytes(vocabulary, special.unknown)),
        merges_(metadata, vocabulary, true),
        splitter_(patterns, metadata.where()),
        whole_words_first_(whole_words_first),
        space_first_(metadata.boolean("tokenizer.ggml.add_space_prefix", false)) {}

  void encode(std::string_view text, bool, std::vector<Token>& tokens) const override {
    std::string spaced;
    if (space_first_ && text[0] != ' ') text = spaced = std::string(" ").append(text);
    std::vector<Piece> pieces;
    splitter_.split(text, pieces);
    PieceCache cache;
    std::vector<Symbol> symbols;
    MergeMemory memory;
    for (const Piece& piece : pieces) {
      cache.append(text.substr(piece.begin, piece.end - piece.begin), tokens,
                   [&](std::string_view word, std::vector<Token>& out) { encode_word(word, symbols, memory, out); });
    }
  }

 private:
  void encode_word(std::string_view word, std::vector<Symbol>& symbols, MergeMemory& memory,
                   std::vector<Token>& tokens) const {
    if (whole_words_first_) {
      if (const Token token = vocabulary_.find(word); token >= 0) return tokens.push_back(token);
    }
    symbols.clear();
    for (std::uint32_t i = 0; i < word.size(); i++)
      symbols.push_back({vocabulary_.byte_token(static_cast<std::uint8_t>(word[i])), i, 1});
    merge_and_append(word, symbols, merges_, memory, vocabulary_, unknown_, tokens);
  }

  const Vocabulary& vocabulary_;
  Token unknown_;
  MergeTable merges_;
  Splitter splitter_;
  bool whole_words_first_, space_first_;
};

// Spaces are written as U+2581; there are no words, so merges may reach over the whole text (or line, with patterns).
class CharacterLevel final : public Algorithm {
 public:
  CharacterLevel(const Metadata& metadata, const Vocabulary& vocabulary, const SpecialTokens& special,
                 std::span<const std::string_view> patterns, bool newline_runs)
      : vocabulary_(vocabulary),
        unknown_(special.unknown),
        merges_(metadata, vocabulary, false),
        splitter_(patterns, metadata.where()),
        marker_(metadata, vocabulary, false),
        newline_runs_(newline_runs),
        whole_words_first_(metadata.boolean("bitkerf.tokenizer.ignore_merges", false)) {}

  void encode(std::string_view text, bool at_start, std::vector<Token>& tokens) const override {
    const std::string marked = marker_.mark(text, at_start);
    std::vector<Piece> lines, words;
    splitter_.split(marked, lines);
    PieceCache cache;
    std::vector<Symbol> symbols;
    MergeMemory memory;
    for (const Piece& piece : lines) {
      const std::string_view line = std::string_view(marked).substr(piece.begin, piece.end - piece.begin);
      if (whole_words_first_ || (newline_runs_ && line.find_first_not_of('\n') == std::string_view::npos)) {
        if (const Token token = vocabulary_.find(line); token >= 0) {
          tokens.push_back(token);
          continue;
        }
      }
      marker_.split(line, words);
      for (const Piece& word : words)
        cache.append(line.substr(word.begin, word.end - word.begin), tokens,
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
    merge_and_append(part, symbols, merges_, memory, vocabulary_, unknown_, tokens);
  }

  const Vocabulary& vocabulary_;
  Token unknown_;
  MergeTable merges_;
  Splitter splitter_;
  SpaceMarker marker_;
  bool newline_runs_;  // a run of newlines that is a token is not merged
  bool whole_words_first_;
};

std::vector<std::string_view> views(const std::vector<std::string>& texts) {
  return std::vector<std::string_view>(texts.begin(), texts.end());
}

}  // namespace

std::unique_ptr<Algorithm> make_byte_level(const Metadata& metadata, const Vocabulary& vocabulary,
                                           const SpecialTokens& special) {
  if (const std::vector<std::string>* patterns = metadata.texts("bitkerf.tokenizer.patterns"))
    return std::make_unique<ByteLevel>(metadata, vocabulary, special, views(*patterns),
                                       metadata.boolean("bitkerf.tokenizer.ignore_merges", false));
  const PreTokenizer& row = pre_tokenizer_of(metadata);
  return std::make_unique<ByteLevel>(metadata, vocabulary, special, row.patterns, row.whole_words_first);
}

std::unique_ptr<Algorithm> make_character_level(const Metadata& metadata, const Vocabulary& vocabulary,
                                                const SpecialTokens& special) {
  const std::vector<std::string>* patterns = metadata.texts("bitkerf.tokenizer.patterns");
  return std::make_unique<CharacterLevel>(metadata, vocabulary, special,
                                          patterns ? views(*patterns) : std::vector<std::string_view>{}, false);
}

std::unique_ptr<Algorithm> make_line_level(const Metadata& metadata, const Vocabulary& vocabulary,
                                           const SpecialTokens& special) {
  static constexpr std::string_view kLines[] = {"[^\\n]+|[\\n]+"};
  return std::make_unique<CharacterLevel>(metadata, vocabulary, special, kLines, true);
}

}  // namespace bitkerf
