// How text is cut into pre-tokens before byte-level BPE merges inside each: per family one or more patterns, applied
// one after the other, each inside every piece that the previous ones left. What a pattern matches becomes a piece,
// and so does what lies between two matches.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/view.h"
#include "files/metadata.h"

namespace bitkerf {

// One row per name that occurs as tokenizer.ggml.pre.
struct PreTokenizer {
  std::string_view name;
  std::span<const std::string_view> patterns;
  bool whole_words_first = false;  // a pre-token that is in the vocabulary is not merged ("ignore_merges")
  bool adds_bos = false;           // unless the file says otherwise
};
std::span<const PreTokenizer> pre_tokenizers();
// The row that tokenizer.ggml.pre names; Fault::file with the known names when there is none. Files from before that
// key was introduced get "default".
const PreTokenizer& pre_tokenizer_of(const Metadata& metadata);

// Stands in a list of patterns for: runs of digits, cut into groups of three from the right. As a pattern this needs
// a look-ahead to the end of the run at every digit, which is quadratic.
inline constexpr std::string_view kDigitsFromRight = "(digits in threes from the right)";

struct Piece {
  std::uint32_t begin, end;
};

// Patterns, compiled. May be used from several threads.
class Splitter {
 public:
  // `where` names the file in messages. Throws Error{Fault::file} when a pattern is not valid.
  Splitter(std::span<const std::string_view> patterns, const std::string& where);
  ~Splitter();
  Splitter(Splitter&&) noexcept;

  // Cuts the text; the pieces cover it without gaps. A run of bytes that is not UTF-8 is a piece of its own. `pieces`
  // is overwritten. Throws Error{Fault::file} when a pattern backtracks without end.
  void split(std::string_view text, std::vector<Piece>& pieces) const;

 private:
  struct Stage;
  std::vector<Stage> stages_;
  std::string where_;
};

// A pattern with \s and \S replaced by Unicode's White_Space (PCRE2's \s also has U+180E).
std::string with_exact_white_space(std::string_view pattern);

}  // namespace bitkerf
