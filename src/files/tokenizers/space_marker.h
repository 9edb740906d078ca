// SentencePiece's treatment of spaces: each becomes U+2581, one more may be put in front of a text, and pieces of the
// vocabulary hardly ever have a marker inside, so that text can be cut in front of markers without changing the result.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "files/tokenizers/pre_tokenizers.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {

class SpaceMarker {
 public:
  // `space_first`: whether a text gets a space in front when the file does not say.
  SpaceMarker(const Metadata& metadata, const Vocabulary& vocabulary, bool space_first);

  std::string mark(std::string_view text, bool after_special) const;
  // Cuts marked text in front of a marker wherever no piece has the byte before it followed by a marker: no merge can
  // reach over such a place, so the parts can be encoded one by one.
  void split(std::string_view marked, std::vector<Piece>& parts) const;

 private:
  bool space_first_;
  bool joins_[256] = {};  // last byte of a character that some piece has in front of a marker
};

}  // namespace bitkerf
