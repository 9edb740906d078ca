#include "files/tokenizers/charsmap.h"

#include <algorithm>

#include "core/error.h"
#include "files/tokenizers/utf8.h"

namespace bitkerf {

Charsmap::Charsmap(const Metadata& metadata) {
  constexpr std::string_view kKey = "tokenizer.ggml.precompiled_charsmap";
  const auto values = metadata.integers(kKey);
  if (!values || values->empty()) return;
  std::string bytes;
  bytes.reserve(values->size());
  for (i64 value : *values) {
    if (value < -128 || value > 255)
      fail(Fault::file, "{}: {} has {} at {}, expected bytes", metadata.where(), kKey, value, bytes.size());
    bytes.push_back(static_cast<char>(value));
  }
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (int i = 3; i >= 0; i--) value = value << 8 | static_cast<std::uint8_t>(bytes[at + i]);
    return value;
  };
  const std::size_t size = bytes.size() >= 4 ? word(0) : 0;
  if (bytes.size() < 4 || size > bytes.size() - 4 || size % 4 != 0)
    fail(Fault::file, "{}: {} has {} bytes and says that its array has {}, expected a multiple of 4 that fits",
         metadata.where(), kKey, bytes.size(), size);
  for (std::size_t at = 4; at < 4 + size; at += 4) units_.push_back(word(at));
  replacements_ = bytes.substr(4 + size);
  if (!replacements_.empty() && replacements_.back() != '\0')
    fail(Fault::file, "{}: {} does not end with a zero byte, expected replacements that do", metadata.where(), kKey);
}

Charsmap::Replacement Charsmap::longest_at(std::string_view input, std::size_t at) const {
  const auto offset = [](std::uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); };
  Replacement best{{}, 0};
  if (!units_.empty()) {
    std::uint32_t node = offset(units_[0]);
    for (std::size_t i = at; i < input.size(); i++) {
      const std::uint8_t byte = static_cast<std::uint8_t>(input[i]);
      if (byte == 0) break;
      node ^= byte;
      if (node >= units_.size()) break;  // a damaged map: what leads outside is no entry
      const std::uint32_t unit = units_[node];
      if ((unit & (1u << 31 | 0xFF)) != byte) break;
      node ^= offset(unit);
      if ((unit >> 8 & 1) == 0) continue;
      if (node >= units_.size()) break;
      const std::uint32_t place = units_[node] & ~(1u << 31);
      if (place >= replacements_.size()) break;
      const std::size_t end = replacements_.find('\0', place);
      best = {std::string_view(replacements_).substr(place, end - place), i + 1 - at};
    }
  }
  if (best.consumed > 0) return best;
  const int length = utf8_length(input, at);
  if (length == 0) return {kReplacement, 1};
  return {input.substr(at, length), static_cast<std::size_t>(length)};
}

}  // namespace bitkerf
