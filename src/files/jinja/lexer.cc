#include "files/jinja/lexer.h"

#include <algorithm>

namespace bitkerf::jinja {

void fail_at(Position at, const std::string& message) {
  fail(Fault::file, "chat template, line {}, column {}: {}", at.line, at.column, message);
}

namespace {

// Longest first.
constexpr std::string_view kSigns[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                       "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
constexpr std::string_view kBrackets[] = {"()", "[]", "{}"};

bool is_ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_name_character(char32_t c) {
  return c == '_' || is_ascii_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0x80 && is_letter(c));
}

// Newlines become "\n", and the last one is dropped.
Text normalize(const Text& source) {
  Text text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); i++) {
    if (source[i] == '\r') {
      text.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') i++;
    } else {
      text.push_back(source[i]);
    }
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : text_(normalize(from_utf8(source))) {}

  std::vector<Token> run() {
    while (place_ < text_.size()) data();
    add(TokenKind::end, at_);
    return std::move(tokens_);
  }

 private:
  char32_t peek(std::size_t ahead = 0) const { return place_ + ahead < text_.size() ? text_[place_ + ahead] : 0; }
  bool sees(std::string_view ascii, std::size_t ahead = 0) const {
    for (std::size_t i = 0; i < ascii.size(); i++)
      if (peek(ahead + i) != static_cast<char32_t>(ascii[i])) return false;
    return true;
  }
  void advance(std::size_t count) {
    for (; count > 0; count--, place_++) {
      at_.column++;
      if (text_[place_] == '\n') at_ = {at_.line + 1, 1};
    }
  }
  void skip_space() {
    while (place_ < text_.size() && is_space(text_[place_])) advance(1);
  }
  Token& add(TokenKind kind, Position at) {
    tokens_.push_back({kind, at, {}, {}});
    return tokens_.back();
  }

  // Text up to the next tag, and the tag's beginning.
  void data() {
    const Position at = at_;
    const std::size_t begin = place_;
    std::size_t tag = begin;
    while (tag < text_.size() && !(text_[tag] == '{' && tag + 1 < text_.size() &&
                                   (text_[tag + 1] == '{' || text_[tag + 1] == '%' || text_[tag + 1] == '#')))
      tag++;
    TextView view = TextView(text_).substr(begin, tag - begin);
    if (tag == text_.size()) {
      advance(tag - begin);
      return add_data(at, view);
    }
    const char32_t kind = text_[tag + 1];
    const char32_t sign = tag + 2 < text_.size() ? text_[tag + 2] : 0;
    if (sign == '-') view = strip(view, nullptr, false, true);
    else if (sign != '+' && kind != '{') view = without_indent(view);
    add_data(at, view);
    advance(tag - begin);
    const Position tag_at = at_;
    advance(sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') return comment(tag_at);
    if (kind == '%' && raw()) return;
    const bool block = kind == '%';
    add(block ? TokenKind::block_begin : TokenKind::variable_begin, tag_at);
    inside(tag_at, block ? "%}" : "}}", block ? TokenKind::block_end : TokenKind::variable_end);
  }

  void add_data(Position at, TextView view) {
    if (!view.empty()) add(TokenKind::data, at).literal = Text(view);
  }

  // lstrip_blocks: nothing but blanks since the line's start.
  TextView without_indent(TextView view) const {
    const std::size_t newline = view.rfind(U'\n');
    const std::size_t start = newline == kNowhere ? 0 : newline + 1;
    if (start == 0 && !line_starts_) return view;
    return std::all_of(view.begin() + static_cast<std::ptrdiff_t>(start), view.end(), is_space) ? view.substr(0, start)
                                                                                                : view;
  }

  // At the end of a tag: -%} drops white space, %} one newline, +%} nothing. False when the tag does not end here.
  bool end_of_tag(std::string_view end) {
    if (peek() == '-' && sees(end, 1)) {
      advance(1 + end.size());
      const std::size_t before = place_;
      skip_space();
      line_starts_ = place_ > before && text_[place_ - 1] == '\n';
      return true;
    }
    if (peek() == '+' && sees(end, 1) && end != "}}") {
      advance(1 + end.size());
      line_starts_ = false;
      return true;
    }
    if (!sees(end)) return false;
    advance(end.size());
    line_starts_ = end != "}}" && peek() == '\n';
    if (line_starts_) advance(1);
    return true;
  }

  void comment(Position at) {
    if (place_ == text_.size()) return;  // as Jinja, which forgives a comment that begins at the very end
    while (place_ < text_.size()) {
      if (end_of_tag("#}")) return;
      advance(1);
    }
    fail_at(at, "a comment has no end: '#}' expected");
  }

  // {% raw %} ... {% endraw %}; false when this is no raw block.
  bool raw() {
    std::size_t i = 0;
    const auto skip = [&] { while (place_ + i < text_.size() && is_space(peek(i))) i++; };
    skip();
    if (!sees("raw", i)) return false;
    i += 3;
    skip();
    const bool strips = peek(i) == '-' && sees("%}", i + 1);
    if (!strips && !sees("%}", i)) return false;
    advance(i + (strips ? 3 : 2));
    if (strips) skip_space();
    const Position at = at_;
    const std::size_t begin = place_;
    for (; place_ < text_.size(); advance(1)) {
      if (!sees("{%")) continue;
      const char32_t sign = peek(2);
      i = sign == '-' || sign == '+' ? 3 : 2;
      skip();
      if (!sees("endraw", i)) continue;
      i += 6;
      skip();
      if (!sees("%}", i) && !((peek(i) == '-' || peek(i) == '+') && sees("%}", i + 1))) continue;
      TextView view = TextView(text_).substr(begin, place_ - begin);
      line_starts_ = false;
      if (sign == '-') view = strip(view, nullptr, false, true);
      else if (sign != '+') view = without_indent(view);
      add_data(at, view);
      advance(i);
      end_of_tag("%}");
      return true;
    }
    fail_at(at, "a raw block has no end: '{% endraw %}' expected");
  }

  // The tokens of a tag, up to its end.
  void inside(Position begin, std::string_view end, TokenKind end_kind) {
    std::vector<char> open;  // the closing brackets that are due
    for (;;) {
      const Position at = at_;
      if (open.empty() && end_of_tag(end)) {
        add(end_kind, at);
        return;
      }
      if (place_ >= text_.size()) fail_at(begin, fmt::format("a tag has no end: '{}' expected", end));
      const char32_t c = peek();
      if (is_space(c)) skip_space();
      else if (is_ascii_digit(c)) number(at);
      else if (is_name_character(c)) name(at);
      else if (c == '"' || c == '\'') string(at, c);
      else sign(at, open);
    }
  }

  void name(Position at) {
    std::string text;
    for (; is_name_character(peek()) || (peek() >= 0x80 && is_decimal(peek())); advance(1)) append_utf8(text, peek());
    add(TokenKind::name, at).text = text;
  }

  void digits(std::string& text, bool (*is_one)(char32_t)) {
    while (is_one(peek()) || (peek() == '_' && is_one(peek(1)))) {
      if (peek() != '_') text.push_back(static_cast<char>(peek()));
      advance(1);
    }
  }

  void number(Position at) {
    const bool after_dot = place_ > 0 && text_[place_ - 1] == '.';
    std::string text;
    const char32_t base = peek() == '0' ? peek(1) | 0x20 : 0;
    if (base == 'x' || base == 'o' || base == 'b') {
      text = {'0', static_cast<char>(base)};
      advance(2);
      digits(text, [](char32_t c) { return is_ascii_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); });
      add(TokenKind::integer, at).text = text;
      return;
    }
    digits(text, is_ascii_digit);
    bool is_float = false;
    if (!after_dot && peek() == '.' && is_ascii_digit(peek(1))) {
      is_float = true;
      text.push_back('.');
      advance(1);
      digits(text, is_ascii_digit);
    }
    const std::size_t sign_length = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
    if (!after_dot && (peek() | 0x20) == 'e' && is_ascii_digit(peek(1 + sign_length))) {
      is_float = true;
      text.push_back('e');
      if (sign_length > 0) text.push_back(static_cast<char>(peek(1)));
      advance(1 + sign_length);
      digits(text, is_ascii_digit);
    }
    if (!is_float && text[0] == '0' && text.find_first_not_of('0') != std::string::npos)
      fail_at(at, fmt::format("the integer {} begins with 0", text));
    add(is_float ? TokenKind::number : TokenKind::integer, at).text = text;
  }

  void sign(Position at, std::vector<char>& open) {
    for (std::string_view sign : kSigns) {
      if (!sees(sign)) continue;
      for (std::string_view pair : kBrackets) {
        if (sign[0] == pair[0]) open.push_back(pair[1]);
        if (sign[0] != pair[1]) continue;
        if (open.empty() || open.back() != pair[1]) fail_at(at, fmt::format("'{}' closes nothing", sign));
        open.pop_back();
      }
      advance(sign.size());
      add(TokenKind::sign, at).text = sign;
      return;
    }
    std::string character;
    append_utf8(character, peek());
    fail_at(at, fmt::format("unexpected character '{}'", character));
  }

  // A string with Python's escapes.
  void string(Position at, char32_t quote) {
    Text text;
    advance(1);
    while (peek() != quote) {
      if (place_ >= text_.size()) fail_at(at, "a string has no end");
      if (peek() != '\\') {
        text.push_back(peek());
        advance(1);
      } else {
        advance(1);
        if (place_ >= text_.size()) fail_at(at, "a string has no end");
        escape(text);
      }
    }
    advance(1);
    add(TokenKind::string, at).literal = std::move(text);
  }

  void escape(Text& text) {
    struct Simple { char letter; char32_t meaning; };
    constexpr Simple kSimple[] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'\\', '\\'}, {'\'', '\''}, {'"', '"'},
                                  {'a', 7},    {'b', 8},    {'f', 12},   {'v', 11}};
    const char32_t c = peek();
    for (const Simple& row : kSimple) {
      if (c != static_cast<char32_t>(row.letter)) continue;
      text.push_back(row.meaning);
      return advance(1);
    }
    const std::size_t length = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (length > 0) {
      const Position at = at_;
      advance(1);
      return text.push_back(code_point(at, length, 16));
    }
    if (c == 'N') fail_at(at_, "the escape \\N{...} is not supported");
    if (c >= '0' && c <= '7') {
      std::size_t count = 1;
      while (count < 3 && peek(count) >= '0' && peek(count) <= '7') count++;
      return text.push_back(code_point(at_, count, 8));
    }
    if (c != '\n') {  // a backslash before a newline joins the lines; any other stays
      text.push_back('\\');
      text.push_back(c);
    }
    advance(1);
  }

  char32_t code_point(Position at, std::size_t length, char32_t base) {
    char32_t value = 0;
    for (std::size_t i = 0; i < length; i++, advance(1)) {
      const char32_t c = peek();
      const char32_t digit = is_ascii_digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : 99;
      if (digit >= base) fail_at(at, "a character escape has too few digits");
      value = value * base + digit;
      if (value > 0x10ffff) fail_at(at, "a character escape is beyond U+10FFFF");
    }
    if (value >= 0xd800 && value < 0xe000) fail_at(at, "a character escape names a surrogate, which UTF-8 cannot hold");
    return value;
  }

  const Text text_;
  std::size_t place_ = 0;
  Position at_;
  bool line_starts_ = true;  // the text that follows begins a line
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> cut_into_tokens(std::string_view source) {
  constexpr std::size_t kMaximumBytes = 256 << 10;  // 16 times the largest template in use
  if (source.size() > kMaximumBytes)
    fail(Fault::file, "the chat template has {} bytes, and at most {} are accepted", source.size(), kMaximumBytes);
  return Lexer(source).run();
}

}  // namespace bitkerf::jinja
