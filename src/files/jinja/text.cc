#include "files/jinja/text.h"

#include <algorithm>

#include <utf8proc.h>

#include "files/jinja/casing.h"

namespace bitkerf::jinja {

Text from_utf8(std::string_view bytes, bool foreign) {
  const char32_t mark = foreign ? kForeign : 0;
  Text text;
  text.reserve(bytes.size());
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(bytes.data());
  for (std::size_t i = 0; i < bytes.size();) {
    if (data[i] < 0x80) {
      text.push_back(data[i++] | mark);
      continue;
    }
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t length = utf8proc_iterate(data + i, static_cast<utf8proc_ssize_t>(bytes.size() - i), &c);
    if (length <= 0) {
      c = 0xdc00 + data[i];
      length = 1;
    }
    text.push_back(static_cast<char32_t>(c) | mark);
    i += static_cast<std::size_t>(length);
  }
  return text;
}

void append_utf8(std::string& bytes, char32_t c) {
  c = plain(c);
  if (c < 0x80) {
    bytes.push_back(static_cast<char>(c));
  } else if (c >= 0xdc80 && c <= 0xdcff) {
    bytes.push_back(static_cast<char>(c - 0xdc00));
  } else {
    utf8proc_uint8_t buffer[4];
    const utf8proc_ssize_t length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), buffer);
    bytes.append(reinterpret_cast<char*>(buffer), static_cast<std::size_t>(length));
  }
}

std::string to_utf8(TextView text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (char32_t c : text) append_utf8(bytes, c);
  return bytes;
}

namespace {
utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(plain(c))); }
}  // namespace

bool is_space(char32_t c) {
  c = plain(c);
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_printable(char32_t c) {
  if (plain(c) == ' ') return true;
  const utf8proc_category_t kind = category(c);
  return kind != UTF8PROC_CATEGORY_CN && kind < UTF8PROC_CATEGORY_ZS;
}

bool is_letter(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t c) {
  const char32_t p = plain(c);
  return is_decimal(c) || p == 0xb2 || p == 0xb3 || p == 0xb9 || p == 0x2070 || (p >= 0x2074 && p <= 0x2079) ||
         (p >= 0x2080 && p <= 0x2089) || (p >= 0x2460 && p <= 0x2468);
}

bool is_upper(char32_t c) {
  const char32_t p = plain(c);
  return category(c) == UTF8PROC_CATEGORY_LU || (p >= 0x2160 && p <= 0x216f) || (p >= 0x24b6 && p <= 0x24cf);
}

bool is_lower(char32_t c) {
  const char32_t p = plain(c);
  return category(c) == UTF8PROC_CATEGORY_LL || p == 0xaa || p == 0xba || (p >= 0x2170 && p <= 0x217f) ||
         (p >= 0x24d0 && p <= 0x24e9);
}

bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || category(c) == UTF8PROC_CATEGORY_LT; }

namespace {

const LongCasing* long_casing(char32_t c) {
  const LongCasing* row = std::lower_bound(std::begin(kLongCasing), std::end(kLongCasing), plain(c),
                                           [](const LongCasing& r, char32_t p) { return r.character < p; });
  return row != std::end(kLongCasing) && row->character == plain(c) ? row : nullptr;
}

void append_marked(Text& out, const char32_t* characters, char32_t like) {
  for (; *characters != 0; characters++) out.push_back(*characters | (like & kForeign));
}

char32_t mapped(utf8proc_int32_t (*map)(utf8proc_int32_t), char32_t c) {
  return static_cast<char32_t>(map(static_cast<utf8proc_int32_t>(plain(c)))) | (c & kForeign);
}

}  // namespace

void append_upper(Text& out, char32_t c) {
  if (const LongCasing* row = plain(c) < 0x80 ? nullptr : long_casing(c)) append_marked(out, row->upper, c);
  else out.push_back(mapped(utf8proc_toupper, c));
}

void append_title(Text& out, char32_t c) {
  if (const LongCasing* row = plain(c) < 0x80 ? nullptr : long_casing(c)) append_marked(out, row->title, c);
  else out.push_back(mapped(utf8proc_totitle, c));
}

void append_lower(Text& out, TextView text, std::size_t position) {
  const char32_t c = text[position];
  if (plain(c) == 0x130) {
    const char32_t dotted[] = {'i', 0x307, 0};
    return append_marked(out, dotted, c);
  }
  // A capital sigma that ends a word: a cased letter before it and none after it (marks in between do not count).
  if (plain(c) == 0x3a3) {
    const auto ignorable = [](char32_t x) {
      const utf8proc_category_t kind = category(x);
      return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_LM ||
             plain(x) == '\'' || plain(x) == '.' || plain(x) == ':' || plain(x) == 0x2019;
    };
    std::size_t before = position, after = position + 1;
    while (before > 0 && ignorable(text[before - 1])) before--;
    while (after < text.size() && ignorable(text[after])) after++;
    const bool final = before > 0 && is_cased(text[before - 1]) && !(after < text.size() && is_cased(text[after]));
    out.push_back((final ? 0x3c2 : 0x3c3) | (c & kForeign));
    return;
  }
  out.push_back(mapped(utf8proc_tolower, c));
}

Text upper(TextView text) {
  Text out;
  for (char32_t c : text) append_upper(out, c);
  return out;
}

Text lower(TextView text) {
  Text out;
  for (std::size_t i = 0; i < text.size(); i++) append_lower(out, text, i);
  return out;
}

Text title(TextView text) {
  Text out;
  bool inside = false;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (inside) append_lower(out, text, i);
    else append_title(out, text[i]);
    inside = is_cased(text[i]);
  }
  return out;
}

Text capitalize(TextView text) {
  Text out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (i == 0) append_title(out, text[i]);
    else append_lower(out, text, i);
  }
  return out;
}

TextView strip(TextView text, const TextView* characters, bool left, bool right) {
  const auto goes = [&](char32_t c) { return characters ? characters->find(c) != kNowhere : is_space(c); };
  while (left && !text.empty() && goes(text.front())) text.remove_prefix(1);
  while (right && !text.empty() && goes(text.back())) text.remove_suffix(1);
  return text;
}

std::size_t find(TextView text, TextView needle, std::size_t from) {
  if (from > text.size() || needle.size() > text.size() - from) return kNowhere;
  // Short needles: the plain search costs at most their length per character.
  if (needle.size() <= 16) return text.find(needle, from);
  // Knuth, Morris, Pratt: overlap[i] is the length of the longest border of needle[0..i].
  std::vector<std::uint32_t> overlap(needle.size(), 0);
  for (std::size_t i = 1, matched = 0; i < needle.size(); i++) {
    while (matched > 0 && !TextTraits::eq(needle[i], needle[matched])) matched = overlap[matched - 1];
    if (TextTraits::eq(needle[i], needle[matched])) matched++;
    overlap[i] = static_cast<std::uint32_t>(matched);
  }
  for (std::size_t i = from, matched = 0; i < text.size(); i++) {
    while (matched > 0 && !TextTraits::eq(text[i], needle[matched])) matched = overlap[matched - 1];
    if (TextTraits::eq(text[i], needle[matched])) matched++;
    if (matched == needle.size()) return i + 1 - needle.size();
  }
  return kNowhere;
}

std::size_t find_last(TextView text, TextView needle, std::size_t end) {
  text = text.substr(0, std::min(end, text.size()));
  if (needle.empty()) return text.size();
  // The search from the left on both strings turned around.
  const Text turned(text.rbegin(), text.rend()), turned_needle(needle.rbegin(), needle.rend());
  const std::size_t place = find(turned, turned_needle);
  return place == kNowhere ? kNowhere : text.size() - place - needle.size();
}

}  // namespace bitkerf::jinja
