// Unigram (T5, XLM-R): of all ways to cut a text into pieces the one with the largest sum of scores (log
// probabilities), by Viterbi's algorithm; after the normalisation that SentencePiece compiled into the model.
#include <algorithm>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "files/tokenizers/algorithm.h"
#include "files/tokenizers/charsmap.h"
#include "files/tokenizers/space_marker.h"
#include "files/tokenizers/trie.h"
#include "files/tokenizers/utf8.h"

namespace bitkerf {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the lowest score, as in SentencePiece

class Unigram final : public Algorithm {
 public:
  Unigram(const Metadata& metadata, const Vocabulary& vocabulary, const SpecialTokens& special)
      : vocabulary_(vocabulary),
        unknown_(special.unknown),
        charsmap_(metadata),
        prefix_(metadata, false),
        merges_spaces_(metadata.boolean("tokenizer.ggml.remove_extra_whitespaces", false)),
        keeps_ends_(metadata.boolean("bitkerf.tokenizer.keep_space_at_ends", false)),
        falls_back_to_bytes_(metadata.boolean("bitkerf.tokenizer.byte_fallback", false)) {
    if (!vocabulary.has_scores())
      fail(Fault::file, "{}: tokenizer.ggml.scores is missing, a Unigram tokenizer needs it", metadata.where());
    std::vector<std::pair<std::string_view, std::int32_t>> entries;
    double lowest = std::numeric_limits<double>::max();
    for (Token token = 0; token < vocabulary.size(); token++) {
      if (vocabulary.type(token) == TokenType::normal)
        lowest = std::min(lowest, static_cast<double>(vocabulary.score(token)));
      if (vocabulary.spells_text(token)) entries.emplace_back(vocabulary.text(token), token);
    }
    if (lowest == std::numeric_limits<double>::max())
      fail(Fault::file, "{}: tokenizer.ggml.token_type has no normal token", metadata.where());
    unknown_score_ = lowest - kUnknownPenalty;
    trie_ = Trie(std::move(entries));
  }

  void encode(std::string_view raw, bool at_start, std::vector<Token>& tokens) const override {
    const std::string text = normalized(raw, at_start);
    // The best cut of text[0, i) ends with `token`, which starts at `begin`.
    struct Best {
      double score = -std::numeric_limits<double>::infinity();
      Token token = -1;  // -1: a character that no piece spells
      std::uint32_t begin = 0;
    };
    std::vector<Best> best(text.size() + 1);
    best[0].score = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = static_cast<std::size_t>(std::max(utf8_length(text, at), 1));
      const double so_far = best[at].score;
      const auto offer = [&](std::size_t end, Token token, double score) {
        if (so_far + score > best[end].score) best[end] = {so_far + score, token, static_cast<std::uint32_t>(at)};
      };
      bool spelled = false;
      std::int32_t node = 0;
      for (std::size_t i = at; i < text.size(); i++) {
        node = trie_.step(node, static_cast<std::uint8_t>(text[i]));
        if (node < 0) break;
        const Token token = trie_.value(node);
        if (token == Trie::kNoValue) continue;
        spelled |= i + 1 - at == length;
        offer(i + 1, token, vocabulary_.type(token) == TokenType::user_defined ? 0.0 : vocabulary_.score(token));
      }
      if (!spelled) offer(at + length, -1, unknown_score_);
      at += length;
    }

    const std::size_t before = tokens.size();
    bool was_unknown = false;
    for (std::size_t end = text.size(); end > 0; end = best[end].begin) {
      const Best& last = best[end];
      if (last.token >= 0) {
        tokens.push_back(last.token);
      } else if (falls_back_to_bytes_) {
        const std::size_t first = tokens.size();
        append_bytes(std::string_view(text).substr(last.begin, end - last.begin), vocabulary_, unknown_, tokens);
        std::reverse(tokens.begin() + first, tokens.end());
      } else if (!was_unknown && unknown_ >= 0) {
        tokens.push_back(unknown_);  // one for a row of unknown characters
      }
      was_unknown = last.token < 0;
    }
    std::reverse(tokens.begin() + before, tokens.end());
  }

 private:
  std::string normalized(std::string_view raw, bool at_start) const {
    std::string text;
    text.reserve(raw.size() + raw.size() / 2 + 3);
    const bool space_first = prefix_.space_first && (at_start || !prefix_.only_at_start);
    bool begun = false, space = false;  // a character was written; spaces were met since
    for (std::size_t at = 0; at < raw.size();) {
      const auto [replacement, consumed] = charsmap_.longest_at(raw, at);
      for (char c : replacement) {
        if (c == ' ') {
          space = true;
          if (!merges_spaces_) text += kSpaceMarker;
          continue;
        }
        if (merges_spaces_) {
          if (begun ? space : space_first || (space && keeps_ends_)) text += kSpaceMarker;
        } else if (!begun && space_first && !(space && prefix_.only_missing)) {
          text += kSpaceMarker;
        }
        begun = true;
        space = false;
        text += c;
      }
      at += consumed;
    }
    if (merges_spaces_ && keeps_ends_ && space) text += kSpaceMarker;
    return text;
  }

  const Vocabulary& vocabulary_;
  Token unknown_;
  Trie trie_;
  Charsmap charsmap_;
  SpacePrefix prefix_;
  bool merges_spaces_;         // rows of spaces count as one, and those at the ends of the text as none
  bool keeps_ends_;            // ... as one there, too
  bool falls_back_to_bytes_;
  double unknown_score_ = 0;
};

}  // namespace

std::unique_ptr<Algorithm> make_unigram(const Metadata& metadata, const Vocabulary& vocabulary,
                                        const SpecialTokens& special) {
  return std::make_unique<Unigram>(metadata, vocabulary, special);
}

}  // namespace bitkerf
