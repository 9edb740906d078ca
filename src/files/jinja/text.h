// Strings as Python sees them: sequences of code points. Templates slice, count and strip by character, so bytes
// would not do.
//
// Bit 31 of a character says that it is foreign: it came from the variables (somebody's message) and not from the
// template. Characters keep the mark through every slice, replace, upper and concatenation, and comparisons ignore it;
// at the end the caller knows, character by character, which text the template wrote itself. This is what keeps a
// user's "<|im_end|>" from becoming a control token (engine/conversation.h).
//
// A byte that is not part of valid UTF-8 becomes U+DC80..U+DCFF, as Python's "surrogateescape" does, and turns back
// into that byte on the way out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/view.h"

namespace bitkerf::jinja {

inline constexpr char32_t kForeign = 0x80000000;
constexpr char32_t plain(char32_t c) { return c & ~kForeign; }

struct TextTraits : std::char_traits<char32_t> {
  static constexpr bool eq(char32_t a, char32_t b) noexcept { return plain(a) == plain(b); }
  static constexpr bool lt(char32_t a, char32_t b) noexcept { return plain(a) < plain(b); }
  static constexpr int compare(const char32_t* a, const char32_t* b, std::size_t n) {
    for (std::size_t i = 0; i < n; i++)
      if (plain(a[i]) != plain(b[i])) return plain(a[i]) < plain(b[i]) ? -1 : 1;
    return 0;
  }
  static constexpr const char32_t* find(const char32_t* s, std::size_t n, const char32_t& c) {
    for (std::size_t i = 0; i < n; i++)
      if (plain(s[i]) == plain(c)) return s + i;
    return nullptr;
  }
};
using Text = std::basic_string<char32_t, TextTraits>;
using TextView = std::basic_string_view<char32_t, TextTraits>;

Text from_utf8(std::string_view bytes, bool foreign = false);
std::string to_utf8(TextView text);
void append_utf8(std::string& bytes, char32_t c);

// Python's character classes.
bool is_space(char32_t c);      // str.isspace
bool is_printable(char32_t c);  // str.isprintable
bool is_letter(char32_t c);     // str.isalpha
bool is_decimal(char32_t c);    // str.isdecimal
bool is_digit(char32_t c);      // str.isdigit
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_cased(char32_t c);

// Python's case mappings: one character may become several.
void append_upper(Text& out, char32_t c);
void append_title(Text& out, char32_t c);
// `position` within `text` decides on the final sigma.
void append_lower(Text& out, TextView text, std::size_t position);
Text upper(TextView text);
Text lower(TextView text);
Text title(TextView text);
Text capitalize(TextView text);

// With no `characters`: white space.
TextView strip(TextView text, const TextView* characters, bool left, bool right);

inline constexpr std::size_t kNowhere = TextView::npos;
// The first place of `needle` at or after `from`. Linear in both lengths, whatever they hold.
std::size_t find(TextView text, TextView needle, std::size_t from = 0);
// The last place that ends at or before `end`.
std::size_t find_last(TextView text, TextView needle, std::size_t end = kNowhere);

}  // namespace bitkerf::jinja
