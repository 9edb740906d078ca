// Names and keys from files we do not trust, made fit for one line of a terminal: bytes that are not printable ASCII
// become \xNN, and what is long is cut.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace bitkerf {

inline std::string printable(std::string_view text, std::size_t most = 80) {
  std::string out;
  for (char c : text) {
    if (out.size() >= most) return out + "...";
    if (c >= ' ' && c <= '~') out += c;
    else out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace bitkerf
