// Unicode normalisation of text before it is tokenized.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "files/metadata.h"

namespace bitkerf {

// The steps that bitkerf.tokenizer.normalizers lists, in order: nfc nfd nfkc nfkd lowercase strip_accents.
class Normalizer {
 public:
  Normalizer() = default;
  explicit Normalizer(const Metadata& metadata);
  bool empty() const { return steps_.empty(); }
  // Bytes that are not UTF-8 stay as they are.
  std::string apply(std::string_view text) const;

 private:
  using Step = std::string (*)(std::string_view valid);
  std::vector<Step> steps_;
};

// What a code point is, by Unicode's general category.
bool is_white_space(std::int32_t code);
bool is_control_code(std::int32_t code);    // category C
bool is_punctuation(std::int32_t code);     // category P
bool is_symbol(std::int32_t code);          // category S
bool is_mark(std::int32_t code);            // category M
bool is_nonspacing_mark(std::int32_t code); // category Mn
std::int32_t lowercase_of(std::int32_t code);
// Canonical decomposition of valid UTF-8.
std::string decomposed(std::string_view valid);

}  // namespace bitkerf
