// SentencePiece's treatment of spaces: each becomes U+2581, one more may be put in front of a text, and pieces of the
// vocabulary hardly ever have a marker inside, so that text can be cut in front of markers without changing the result.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "files/tokenizers/pre_tokenizers.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {

// tokenizer.ggml.add_space_prefix says whether there is a space in front; bitkerf.tokenizer.space_prefix says which:
//   always         of every text, also behind a special token (SentencePiece, llama.cpp; where the key is absent)
//   missing        of every text that does not start with one
//   first_missing  the same, but only at the start of the input
struct SpacePrefix {
  bool space_first, only_missing, only_at_start;

  // `space_first`: whether there is a space in front when the file does not say.
  SpacePrefix(const Metadata& metadata, bool space_first);
};

class SpaceMarker {
 public:
  SpaceMarker(const Metadata& metadata, const Vocabulary& vocabulary, bool space_first);

  std::string mark(std::string_view text, bool at_start) const;
  // Cuts marked text in front of a marker wherever no piece has the byte before it followed by a marker: no merge can
  // reach over such a place, so the parts can be encoded one by one.
  void split(std::string_view marked, std::vector<Piece>& parts) const;

 private:
  SpacePrefix prefix_;
  bool joins_[256] = {};  // last byte of a character that some piece has in front of a marker
};

}  // namespace bitkerf
