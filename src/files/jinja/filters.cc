// The filters that work on one value, and the table of all filters.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "files/jinja/filters.h"

namespace bitkerf::jinja {
namespace {

// str(value); templates pipe anything into string filters.
Text text_of(Run& run, const Value& value) {
  TextBuilder out(run);
  print(out, value);
  return out.take();
}
bool flag(Run& run, const Value* value) { return value && truth(run, *value); }

Value with_method(Run& run, const Value& value, std::string_view name, std::vector<Value> arguments) {
  const Value text = to_text(run, value);
  Arguments given{std::move(arguments), {}};
  const Value result = apply(run, *find_method(text, name), text, given);
  return text.is_markup() && result.text() ? run.text(Text(*result.text()), true) : result;
}

Value trim(Run& run, const Value& value, const Given& given) {
  return with_method(run, value, "strip", given[0] ? std::vector<Value>{*given[0]} : std::vector<Value>{});
}
Value upper_case(Run& run, const Value& value, const Given&) { return with_method(run, value, "upper", {}); }
Value lower_case(Run& run, const Value& value, const Given&) { return with_method(run, value, "lower", {}); }
Value capitalized(Run& run, const Value& value, const Given&) { return with_method(run, value, "capitalize", {}); }
Value centered(Run& run, const Value& value, const Given& given) {
  return with_method(run, value, "center", {given[0] ? *given[0] : Value(i64{80})});
}

// Jinja's own idea of words: they begin after blanks, hyphens and opening brackets.
Value title_case(Run& run, const Value& value, const Given&) {
  const Text text = text_of(run, value);
  const auto separates = [](char32_t c) { return is_space(c) || TextView(U"-({[<").find(c) != kNowhere; };
  Text out;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    const bool separator = separates(text[i]);
    while (end < text.size() && separates(text[end]) == separator) end++;
    append_upper(out, text[i]);
    for (std::size_t k = 1; k < end - i; k++) append_lower(out, TextView(text).substr(i + 1, end - i - 1), k - 1);
    i = end;
  }
  return run.text(std::move(out));
}

Value string(Run& run, const Value& value, const Given&) { return to_text(run, value); }
Value safe(Run& run, const Value& value, const Given&) { return run.text(text_of(run, value), true); }
Value escape(Run& run, const Value& value, const Given&) {
  if (value.is_markup()) return value;
  TextBuilder out(run);
  add_escaped(out, text_of(run, value));
  return run.text(out.take(), true);
}

Value replace(Run& run, const Value& value, const Given& given) {
  std::vector<Value> arguments = {to_text(run, *given[0]), to_text(run, *given[1])};
  if (given[2] && !given[2]->is_none()) arguments.push_back(*given[2]);
  const Value text = run.text(text_of(run, value));
  return with_method(run, text, "replace", std::move(arguments));
}

Value format(Run& run, const Value& value, const Given& given) {
  if (value.is_markup()) run.fail("format of a string marked as safe is not supported");
  if (given.all->named.empty())
    return format_percent(run, text_of(run, value), run.sequence(kTuple, given.all->positional));
  if (!given.all->positional.empty()) run.fail("format takes either named arguments or others");
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, item] : given.all->named) entries.emplace_back(run.text(std::string_view(name)), item);
  return format_percent(run, text_of(run, value), run.dict(std::move(entries)));
}

Value indent(Run& run, const Value& value, const Given& given) {
  const Text text = need_text(run, value, "what is indented");
  Text blanks(4, U' ');
  if (given[0] && given[0]->text()) {
    blanks = *given[0]->text();
  } else if (given[0]) {
    const i64 width = need_integer(run, *given[0], "the width of indent");
    if (width > 10000) run.fail("indent by {} is not supported", width);
    blanks.assign(static_cast<std::size_t>(std::max<i64>(width, 0)), U' ');
  }
  const bool first = flag(run, given[1]), blank = flag(run, given[2]);
  const Value lines_of = run.text(text + U"\n");
  Arguments none;
  const Value lines = apply(run, *find_method(lines_of, "splitlines"), lines_of, none);
  TextBuilder out(run);
  bool is_first = true;
  for (const Value& line : lines.sequence()->items) {
    if (!is_first) out.add("\n");
    if (is_first ? first : (blank || !line.text()->empty())) out.add(blanks);
    out.add(*line.text());
    is_first = false;
  }
  return run.text(out.take(), value.is_markup());
}

Value truncate(Run& run, const Value& value, const Given& given) {
  const Text& text = need_text(run, value, "what is truncated");
  const i64 length = given[0] ? need_integer(run, *given[0], "the length") : 255;
  const bool inside_words = flag(run, given[1]);
  const Text end = given[2] ? need_text(run, *given[2], "the end of truncate") : Text(U"...");
  const i64 leeway = given[3] && !given[3]->is_none() ? need_integer(run, *given[3], "the leeway") : 5;
  const i64 room = length - static_cast<i64>(end.size());
  if (room < 0 || leeway < 0) run.fail("truncate needs a length of at least {}", end.size());
  if (static_cast<i64>(text.size()) - leeway <= length) return value;
  TextView kept = TextView(text).substr(0, static_cast<std::size_t>(room));
  const std::size_t blank = kept.rfind(U' ');
  if (!inside_words && blank != kNowhere) kept = kept.substr(0, blank);
  TextBuilder out(run);
  out.add(kept);
  out.add(end);
  return run.text(out.take());
}

Value to_json(Run& run, const Value& value, const Given& given) {
  JsonStyle style;
  style.ascii = flag(run, given[0]);
  style.sort_keys = flag(run, given[3]);
  if (given[1] && !given[1]->is_none()) {
    if (given[1]->text()) {
      style.indent = *given[1]->text();
    } else {
      const i64 width = need_integer(run, *given[1], "the indent of tojson");
      if (width > 1000) run.fail("tojson with an indent of {} is not supported", width);
      style.indent = Text(static_cast<std::size_t>(std::max<i64>(width, 0)), U' ');
    }
  }
  style.item_separator = style.indent ? U"," : U", ";
  style.key_separator = U": ";
  if (given[2] && !given[2]->is_none()) {
    const Sequence* both = given[2]->sequence();
    if (!both || both->items.size() != 2) run.fail("the separators of tojson have to be two strings");
    style.item_separator = need_text(run, both->items[0], "a separator");
    style.key_separator = need_text(run, both->items[1], "a separator");
  }
  TextBuilder out(run);
  print_json(out, value, style);
  return run.text(out.take());
}

// Python's float(text): white space around, "_" between digits, inf and nan.
std::optional<double> parse_float(const Text& text) {
  std::string digits = to_utf8(strip(text, nullptr, true, true));
  for (std::size_t i = 1; i + 1 < digits.size(); i++)
    if (digits[i] == '_' && std::isdigit(static_cast<unsigned char>(digits[i - 1])) &&
        std::isdigit(static_cast<unsigned char>(digits[i + 1])))
      digits.erase(i, 1);
  const char* begin = digits.c_str();
  if (*begin == '+' && begin[1] != '-') begin++;
  double value = 0;
  const char* end = digits.c_str() + digits.size();
  const std::from_chars_result result = std::from_chars(begin, end, value);
  if (result.ptr != end || begin == end || digits.find('(') != std::string::npos) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) return std::strtod(begin, nullptr);
  return value;
}

Value to_float(Run& run, const Value& value, const Given& given) {
  const Value otherwise = given[0] ? *given[0] : Value(0.0);
  if (value.is_undefined()) run.fail("float of {}", describe(value));
  if (const Text* text = value.text()) {
    const std::optional<double> number = parse_float(*text);
    return number ? Value(*number) : otherwise;
  }
  const std::optional<double> number = as_number(value);
  return number ? Value(*number) : otherwise;
}

Value to_integer(Run& run, const Value& value, const Given& given) {
  const Value otherwise = given[0] ? *given[0] : Value(i64{0});
  const i64 base = given[1] ? need_integer(run, *given[1], "the base") : 10;
  if (value.is_undefined()) run.fail("int of {}", describe(value));
  if (base < 2 || base > 36) run.fail("int with base {} is not supported", base);
  if (const std::optional<i64> integer = as_integer(value)) return *integer;
  std::optional<double> number = as_number(value);
  if (const Text* text = value.text()) {
    std::string digits = to_utf8(strip(*text, nullptr, true, true));
    for (std::size_t i = 1; i + 1 < digits.size(); i++)
      if (digits[i] == '_' && digits[i - 1] != '_') digits.erase(i, 1);
    const char *begin = digits.c_str(), *end = begin + digits.size();
    if (*begin == '+' && begin[1] != '-') begin++;
    if (base == 16 && (digits.starts_with("0x") || digits.starts_with("0X"))) begin += 2;
    i64 integer = 0;
    const std::from_chars_result result = std::from_chars(begin, end, integer, static_cast<int>(base));
    if (result.ec == std::errc::result_out_of_range) run.fail("integers of more than 64 bits are not supported");
    if (result.ec == std::errc() && result.ptr == end) return integer;
    number = parse_float(*text);
  }
  if (!number || !std::isfinite(*number)) return otherwise;
  if (std::fabs(*number) >= 9.2e18) run.fail("integers of more than 64 bits are not supported");
  return static_cast<i64>(*number);
}

Value absolute(Run& run, const Value& value, const Given&) {
  if (const std::optional<i64> integer = as_integer(value)) return *integer < 0 ? negate(run, *integer) : Value(*integer);
  if (const double* number = value.get<double>()) return std::fabs(*number);
  run.fail("abs needs a number, not {}", describe(value));
}

Value round_number(Run& run, const Value& value, const Given& given) {
  const i64 precision = given[0] ? need_integer(run, *given[0], "the precision of round") : 0;
  const std::string method = given[1] ? to_utf8(need_text(run, *given[1], "the method of round")) : "common";
  const std::optional<double> number = as_number(value);
  if (!number) run.fail("round needs a number, not {}", describe(value));
  if (precision < 0 || precision > 300) run.fail("round to {} digits is not supported", precision);
  if (method == "common") {
    if (const std::optional<i64> integer = as_integer(value)) return *integer;
    if (!std::isfinite(*number)) return *number;
    return std::strtod(fmt::format("{:.{}f}", *number, precision).c_str(), nullptr);
  }
  if (method != "ceil" && method != "floor") run.fail("round knows the methods common, ceil and floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return (method == "ceil" ? std::ceil(*number * scale) : std::floor(*number * scale)) / scale;
}

Value otherwise(Run& run, const Value& value, const Given& given) {
  if (value.is_undefined() || (flag(run, given[1]) && !truth(run, value))) return given[0] ? *given[0] : run.text("");
  return value;
}

Value attribute_only(Run& run, const Value& value, const Given& given) {
  const std::string name = to_utf8(need_text(run, *given[0], "the name of attr"));
  // Unlike a.b, the filter does not fall back to items.
  const Row* method = find_method(value, name);
  if (value.dict() && !method) return Undefined{};
  Value result = attribute(run, value, name);
  return result.is_undefined() ? Value(Undefined{}) : result;
}

constexpr Row kFilters[] = {
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", to_json},
    {"trim", "chars?", trim},
    {"default", "default_value? boolean?", otherwise},
    {"d", "default_value? boolean?", otherwise},
    {"length", "", filter_length},
    {"count", "", filter_length},
    {"string", "", string},
    {"join", "d? attribute?", filter_join},
    {"items", "", filter_items},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"list", "", filter_list},
    {"first", "", filter_first},
    {"last", "", filter_last},
    {"map", "*", filter_map},
    {"select", "*", filter_select},
    {"reject", "*", filter_reject},
    {"selectattr", "*", filter_selectattr},
    {"rejectattr", "*", filter_rejectattr},
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"unique", "case_sensitive? attribute?", filter_unique},
    {"min", "case_sensitive? attribute?", filter_min},
    {"max", "case_sensitive? attribute?", filter_max},
    {"sum", "attribute? start?", filter_sum},
    {"reverse", "", filter_reverse},
    {"batch", "linecount fill_with?", filter_batch},
    {"upper", "", upper_case},
    {"lower", "", lower_case},
    {"title", "", title_case},
    {"capitalize", "", capitalized},
    {"center", "width?", centered},
    {"replace", "old new count?", replace},
    {"format", "*", format},
    {"indent", "width? first? blank?", indent},
    {"truncate", "length? killwords? end? leeway?", truncate},
    {"int", "default? base?", to_integer},
    {"float", "default?", to_float},
    {"abs", "", absolute},
    {"round", "precision? method?", round_number},
    {"attr", "name", attribute_only},
    {"safe", "", safe},
    {"escape", "", escape},
    {"e", "", escape},
    {"filesizeformat", "", nullptr},
    {"forceescape", "", nullptr},
    {"groupby", "", nullptr},
    {"pprint", "", nullptr},
    {"random", "", nullptr},
    {"slice", "", nullptr},
    {"striptags", "", nullptr},
    {"urlencode", "", nullptr},
    {"urlize", "", nullptr},
    {"wordcount", "", nullptr},
    {"wordwrap", "", nullptr},
    {"xmlattr", "", nullptr},
};

}  // namespace

const Row* find_filter(std::string_view name) {
  for (const Row& row : kFilters)
    if (row.name == name) return &row;
  return nullptr;
}

std::string known_filters() {
  std::string names;
  for (const Row& row : kFilters)
    if (row.call) names += fmt::format("{}{}", names.empty() ? "" : " ", row.name);
  return names;
}

}  // namespace bitkerf::jinja
