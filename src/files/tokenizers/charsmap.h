// SentencePiece's precompiled normalisation: a map from byte strings to replacements.
//
//   bytes 0-3       size of the array in bytes, little endian
//   then            the array: a compact double array (an XOR trie), one 32-bit unit per node
//                     bit 31 and bits 0-7: label;  bit 8: a value follows;  bits 10-30: offset to the children,
//                     shifted by 8 more when bit 9 is set;  a value unit holds the place of the replacement
//   then            the replacements, each ended by a zero byte
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "files/metadata.h"

namespace bitkerf {

class Charsmap {
 public:
  struct Replacement {
    std::string_view text;
    std::size_t consumed;  // bytes of the input, at least 1
  };

  // From tokenizer.ggml.precompiled_charsmap; without that key every character stays as it is.
  explicit Charsmap(const Metadata& metadata);
  // The replacement of the longest string of the map that starts at input[at]; else the character itself, U+FFFD for
  // a byte that is not UTF-8.
  Replacement longest_at(std::string_view input, std::size_t at) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace bitkerf
