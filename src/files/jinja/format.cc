// "..." % values and "...".format(values)
#include <cmath>

#include "files/jinja/python.h"

namespace bitkerf::jinja {
namespace {

// How one value is to be written, for both kinds of formatting.
struct Spec {
  char32_t fill = ' ';
  char align = 0;        // < > ^ =, 0: by type
  char sign = '-';       // - + or blank
  char32_t type = 0;
  char32_t group = 0;    // , or _
  bool alternate = false;
  i64 width = 0;
  i64 precision = -1;
};

constexpr i64 kMaximumPrecision = 400;  // digits of a double that can differ from 0

void pad(TextBuilder& out, TextView body, const Spec& spec, char align) {
  const i64 missing = spec.width - static_cast<i64>(body.size());
  const i64 before = align == '>' || align == '=' ? missing : align == '^' ? missing / 2 : 0;
  out.repeat(spec.fill, before);
  out.add(body);
  out.repeat(spec.fill, missing > 0 ? missing - std::max<i64>(before, 0) : 0);
}

std::string grouped(const std::string& digits, char32_t group, std::size_t every) {
  if (group == 0) return digits;
  const std::size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string result = digits;
  for (std::size_t i = whole; i > every; i -= every) result.insert(i - every, 1, static_cast<char>(group));
  return result;
}

void write_number(TextBuilder& out, const std::string& sign, const std::string& digits, const Spec& spec) {
  if (spec.align == '=') {
    out.add(sign);
    Spec rest = spec;
    rest.width -= static_cast<i64>(sign.size());
    return pad(out, from_utf8(digits), rest, '>');
  }
  pad(out, from_utf8(sign + digits), spec, spec.align ? spec.align : '>');
}

std::string sign_of(bool negative, const Spec& spec) {
  return negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
}

void write_integer(TextBuilder& out, i64 value, const Spec& spec) {
  const std::uint64_t size = value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  const char32_t type = spec.type ? spec.type : U'd';
  std::string digits = type == 'x'   ? fmt::format("{:x}", size)
                       : type == 'X' ? fmt::format("{:X}", size)
                       : type == 'o' ? fmt::format("{:o}", size)
                       : type == 'b' ? fmt::format("{:b}", size)
                                     : fmt::format("{}", size);
  const bool decimal = type == 'd';
  if (spec.group == ',' && !decimal) out.run().fail("',' groups decimal digits only");
  if (spec.group && spec.fill == '0') out.run().fail("grouped digits with leading zeros are not supported");
  digits = grouped(digits, spec.group, decimal ? 3 : 4);
  std::string sign = sign_of(value < 0, spec);
  if (spec.alternate && !decimal) sign += fmt::format("0{}", static_cast<char>(type));
  write_number(out, sign, digits, spec);
}

void write_float(TextBuilder& out, double value, const Spec& spec) {
  Run& run = out.run();
  if (spec.precision > kMaximumPrecision) run.fail("a precision above {} is not supported", kMaximumPrecision);
  if (spec.alternate) run.fail("'#' is not supported for floats");
  const bool percent = spec.type == '%';
  char32_t type = percent ? U'f' : spec.type;
  const double size = std::fabs(value) * (percent ? 100 : 1);
  std::string digits;
  if (type == 0 && spec.precision < 0) {
    digits = float_text(size);
  } else {
    const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
    if (type == 0) run.fail("a precision without a type is not supported for floats");
    const std::string format = {'%', '.', '*', static_cast<char>(type), 0};
    char buffer[800];
    std::snprintf(buffer, sizeof buffer, format.c_str(), precision, size);
    digits = buffer;
  }
  if (spec.group && spec.fill == '0') run.fail("grouped digits with leading zeros are not supported");
  if (std::isfinite(size)) digits = grouped(digits, spec.group, 3);
  if (percent) digits += "%";
  write_number(out, sign_of(std::signbit(value) && !std::isnan(value), spec), digits, spec);
}

i64 read_count(Run& run, TextView text, std::size_t& i) {
  i64 count = 0;
  for (; i < text.size() && plain(text[i]) >= '0' && plain(text[i]) <= '9'; i++) {
    count = count * 10 + static_cast<i64>(plain(text[i]) - '0');
    if (count > (1 << 30)) run.fail("a width or precision is too large");
  }
  return count;
}

bool is_one_of(char32_t c, std::string_view characters) {
  return plain(c) < 0x80 && characters.find(static_cast<char>(plain(c))) != std::string_view::npos;
}

// Hands out the values of "%" one by one.
class Values {
 public:
  Values(Run& run, const Value& value) : run_(run), value_(value) {
    tuple_ = value.sequence() && value.sequence()->kind == &kTuple ? value.sequence() : nullptr;
  }
  Value next() {
    const std::size_t count = tuple_ ? tuple_->items.size() : 1;
    if (used_ >= count) run_.fail("more places in the format than values");
    const std::size_t i = used_++;
    return tuple_ ? tuple_->items[i] : value_;
  }
  Value named(TextView name) {
    const Dict* dict = value_.dict();
    if (!dict) run_.fail("a format with names needs a dict");
    by_name_ = true;
    const Value* value = find(run_, *dict, run_.text(name));
    if (!value) run_.fail("the dict has no '{}' that the format asks for", to_utf8(name));
    return *value;
  }
  void finish() {
    if (tuple_ ? used_ < tuple_->items.size() : used_ == 0 && !by_name_ && !value_.dict() && !value_.sequence())
      run_.fail("not all values were used by the format");
  }

 private:
  Run& run_;
  const Value& value_;
  const Sequence* tuple_;
  std::size_t used_ = 0;
  bool by_name_ = false;
};

void write_percent(TextBuilder& out, Spec spec, const Value& value) {
  Run& run = out.run();
  const char32_t type = plain(spec.type);
  if (type == 's' || type == 'r') {
    TextBuilder body(run);
    if (type == 's') print(body, value);
    else print_exactly(body, value);
    TextView view = body.text();
    if (spec.precision >= 0) view = view.substr(0, static_cast<std::size_t>(spec.precision));
    spec.fill = ' ';
    return pad(out, view, spec, spec.align == '<' ? '<' : '>');
  }
  if (is_one_of(type, "diuxXo")) {
    std::optional<i64> integer = as_integer(value);
    const double* number = value.get<double>();
    if (!integer && number && is_one_of(type, "diu") && std::fabs(*number) < 9e18) integer = static_cast<i64>(*number);
    if (!integer) run.fail("%{} needs a number, not {}", static_cast<char>(type), describe(value));
    if (spec.precision >= 0) run.fail("a precision of an integer is not supported");
    spec.type = is_one_of(type, "diu") ? U'd' : type;
    return write_integer(out, *integer, spec);
  }
  if (is_one_of(type, "eEfFgG")) {
    const std::optional<double> number = as_number(value);
    if (!number) run.fail("%{} needs a number, not {}", static_cast<char>(type), describe(value));
    return write_float(out, *number, spec);
  }
  run.fail("the format %{} is not supported", to_utf8(Text(1, type)));
}

}  // namespace

Value format_percent(Run& run, const Text& format, const Value& value) {
  TextBuilder out(run);
  Values values(run, value);
  for (std::size_t i = 0; i < format.size(); i++) {
    if (format[i] != '%') {
      out.add(format[i]);
      continue;
    }
    Spec spec;
    std::optional<Value> one;
    i++;
    if (i < format.size() && format[i] == '(') {
      const std::size_t end = format.find(U')', i);
      if (end == kNowhere) run.fail("a name in the format has no ')'");
      one = values.named(TextView(format).substr(i + 1, end - i - 1));
      i = end + 1;
    }
    bool zero = false;
    for (; i < format.size() && is_one_of(format[i], "-+ 0#"); i++) {
      const char32_t flag = plain(format[i]);
      if (flag == '-') spec.align = '<';
      else if (flag == '0') zero = true;
      else if (flag == '#') spec.alternate = true;
      else if (spec.sign != '+') spec.sign = static_cast<char>(flag);
    }
    if (zero && spec.align == 0) {
      spec.fill = '0';
      spec.align = '=';
    }
    if (i < format.size() && format[i] == '*') run.fail("'*' in a format is not supported");
    spec.width = read_count(run, format, i);
    if (i < format.size() && format[i] == '.') spec.precision = read_count(run, format, ++i);
    if (i >= format.size()) run.fail("the format ends within a '%'");
    if (format[i] == '%') {
      out.add(U'%');
      continue;
    }
    spec.type = plain(format[i]);
    write_percent(out, spec, one ? *one : values.next());
  }
  values.finish();
  return run.text(out.take());
}

namespace {

Spec read_spec(Run& run, TextView text) {
  Spec spec;
  std::size_t i = 0;
  if (text.size() >= 2 && is_one_of(text[1], "<>^=")) {
    spec.fill = text[0];
    spec.align = static_cast<char>(plain(text[1]));
    i = 2;
  } else if (!text.empty() && is_one_of(text[0], "<>^=")) {
    spec.align = static_cast<char>(plain(text[i++]));
  }
  if (i < text.size() && is_one_of(text[i], "-+ ")) spec.sign = static_cast<char>(plain(text[i++]));
  if (i < text.size() && text[i] == '#') spec.alternate = true, i++;
  if (i < text.size() && text[i] == '0') {
    if (spec.align == 0) spec.fill = '0', spec.align = '=';
    i++;
  }
  spec.width = read_count(run, text, i);
  if (i < text.size() && is_one_of(text[i], ",_")) spec.group = plain(text[i++]);
  if (i < text.size() && text[i] == '.') spec.precision = read_count(run, text, ++i);
  if (i < text.size()) spec.type = plain(text[i++]);
  if (i < text.size()) run.fail("the format '{}' is not supported", to_utf8(text));
  return spec;
}

void write_braces(TextBuilder& out, const Value& value, TextView text) {
  Run& run = out.run();
  if (text.empty()) return print(out, value);
  Spec spec = read_spec(run, text);
  const i64* integer = value.get<i64>();
  if (value.text()) {
    if ((spec.type && spec.type != 's') || spec.sign != '-' || spec.alternate || spec.group || spec.align == '=')
      run.fail("the format '{}' does not fit a string", to_utf8(text));
    TextView view = *value.text();
    if (spec.precision >= 0) view = view.substr(0, static_cast<std::size_t>(spec.precision));
    return pad(out, view, spec, spec.align ? spec.align : '<');
  }
  if (integer && (spec.type == 0 || is_one_of(spec.type, "dxXob")) && spec.precision < 0)
    return write_integer(out, *integer, spec);
  const std::optional<double> number = as_number(value);
  if (number && !value.get<bool>() && (spec.type == 0 || is_one_of(spec.type, "eEfFgG%")))
    return write_float(out, *number, spec);
  run.fail("the format '{}' is not supported for {}", to_utf8(text), describe(value));
}

// The value of a field such as "0", "name", "user.name" or "list[3]".
Value field(Run& run, TextView name, const Arguments& arguments, i64& next) {
  const std::size_t end = std::min(name.find_first_of(U".["), name.size());
  const TextView first = name.substr(0, end);
  Value value;
  bool found = false;
  if (first.empty() || is_one_of(first[0], "0123456789")) {
    std::size_t i = 0;
    const bool automatic = first.empty();
    if (automatic ? next < 0 : next > 0) run.fail("a format cannot mix {{}} and {{0}}");
    const i64 index = automatic ? next++ : read_count(run, first, i);
    if (!automatic) next = -1;
    if (static_cast<std::size_t>(index) < arguments.positional.size()) {
      value = arguments.positional[static_cast<std::size_t>(index)];
      found = true;
    }
  } else {
    const std::string key = to_utf8(first);
    for (const auto& [argument, given] : arguments.named) {
      if (argument != key) continue;
      value = given;
      found = true;
    }
  }
  if (!found) run.fail("no value for the field '{}' of a format", to_utf8(name));
  if (end < name.size()) run.fail("attributes in a format ('{}') are not supported", to_utf8(name));
  return value;
}

}  // namespace

Value format_braces(Run& run, const Text& format, const Arguments& arguments) {
  TextBuilder out(run);
  i64 next = 0;
  for (std::size_t i = 0; i < format.size(); i++) {
    const char32_t c = plain(format[i]);
    const bool doubled = i + 1 < format.size() && plain(format[i + 1]) == c;
    if ((c == '{' || c == '}') && doubled) {
      out.add(format[i++]);
      continue;
    }
    if (c == '}') run.fail("a single '}}' in a format");
    if (c != '{') {
      out.add(format[i]);
      continue;
    }
    const std::size_t end = format.find_first_of(U"{}", i + 1);
    if (end == kNowhere) run.fail("a field of a format has no '}}'");
    if (format[end] == '{') run.fail("fields within fields of a format are not supported");
    const TextView inside = TextView(format).substr(i + 1, end - i - 1);
    const std::size_t colon = std::min(inside.find(U':'), inside.size());
    TextView name = inside.substr(0, colon);
    const std::size_t mark = name.find(U'!');
    const TextView conversion = mark == kNowhere ? TextView() : name.substr(mark + 1);
    if (mark != kNowhere) name = name.substr(0, mark);
    Value value = field(run, name, arguments, next);
    if (mark != kNowhere) {
      if (conversion.size() != 1 || !is_one_of(conversion[0], "sr"))
        run.fail("the conversion '!{}' is not supported", to_utf8(conversion));
      TextBuilder converted(run);
      if (plain(conversion[0]) == 's') print(converted, value);
      else print_exactly(converted, value);
      value = run.text(converted.take());
    }
    write_braces(out, value, colon < inside.size() ? inside.substr(colon + 1) : TextView());
    i = end;
  }
  return run.text(out.take());
}

}  // namespace bitkerf::jinja
