// Methods of strings, lists and dicts: one table per type. Rows without a function name what Python has and we have
// not, so that using it is an error and not "undefined".
#include <algorithm>

#include "files/jinja/loop.h"
#include "files/jinja/python.h"

namespace bitkerf::jinja {
namespace {

const Text& self_text(const Value& self) { return *self.text(); }

Value strip_some(Run& run, const Value& self, const Given& given, bool left, bool right) {
  if (!given[0] || given[0]->is_none()) return run.text(strip(self_text(self), nullptr, left, right));
  const TextView characters = need_text(run, *given[0], "the argument of strip");
  run.spend_characters(self_text(self).size() * std::min<std::size_t>(characters.size(), 64));
  return run.text(strip(self_text(self), &characters, left, right));
}
Value strip_both(Run& run, const Value& self, const Given& given) { return strip_some(run, self, given, true, true); }
Value strip_left(Run& run, const Value& self, const Given& given) { return strip_some(run, self, given, true, false); }
Value strip_right(Run& run, const Value& self, const Given& given) { return strip_some(run, self, given, false, true); }

i64 limit_of(Run& run, const Value* value) { return value ? need_integer(run, *value, "the number of splits") : -1; }

// Words between white space, from the left or from the right.
Value split_words(Run& run, TextView text, i64 limit, bool from_right) {
  std::vector<Value> parts;
  text = strip(text, nullptr, !from_right, from_right);
  while (!text.empty()) {
    std::size_t end = 0;
    if (limit == 0) end = text.size();
    if (from_right) {
      while (end < text.size() && !is_space(text[text.size() - 1 - end])) end++;
      parts.push_back(run.text(text.substr(text.size() - end)));
      text.remove_suffix(end);
    } else {
      while (end < text.size() && !is_space(text[end])) end++;
      parts.push_back(run.text(text.substr(0, end)));
      text.remove_prefix(end);
    }
    if (limit > 0) limit--;
    text = strip(text, nullptr, !from_right, from_right);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return run.list(std::move(parts));
}

Value split_at(Run& run, const Value& self, const Given& given, bool from_right) {
  i64 limit = limit_of(run, given[1]);
  TextView text = self_text(self);
  run.spend_characters(text.size());
  if (!given[0] || given[0]->is_none()) return split_words(run, text, limit, from_right);
  const Text& separator = need_text(run, *given[0], "the separator of split");
  if (separator.empty()) run.fail("the separator of split is empty");
  // Cuts from the right are cuts from the left of both strings turned around.
  Text turned, turned_separator;
  if (from_right) {
    run.need(4 * (text.size() + separator.size()));
    turned.assign(text.rbegin(), text.rend());
    turned_separator.assign(separator.rbegin(), separator.rend());
  }
  const TextView searched = from_right ? TextView(turned) : text, needle = from_right ? TextView(turned_separator) : TextView(separator);
  std::vector<std::size_t> cuts;
  for (std::size_t from = 0; limit != 0; limit -= limit > 0) {
    run.spend(1 + static_cast<i64>(needle.size() / 16));
    const std::size_t place = find(searched, needle, from);
    if (place == kNowhere) break;
    from = place + needle.size();
    cuts.push_back(from_right ? text.size() - from : place);
  }
  if (from_right) std::reverse(cuts.begin(), cuts.end());
  std::vector<Value> parts;
  std::size_t from = 0;
  for (std::size_t cut : cuts) {
    parts.push_back(run.text(text.substr(from, cut - from)));
    from = cut + separator.size();
  }
  parts.push_back(run.text(text.substr(from)));
  return run.list(std::move(parts));
}
Value split_left(Run& run, const Value& self, const Given& given) { return split_at(run, self, given, false); }
Value split_right(Run& run, const Value& self, const Given& given) { return split_at(run, self, given, true); }

bool is_line_end(char32_t c) {
  c = plain(c);
  return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

Value split_lines(Run& run, const Value& self, const Given& given) {
  const bool keep = given[0] && truth(run, *given[0]);
  const TextView text = self_text(self);
  run.spend_characters(text.size());
  std::vector<Value> lines;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    while (end < text.size() && !is_line_end(text[end])) end++;
    const std::size_t line_end = end;
    if (end < text.size()) end += plain(text[end]) == '\r' && end + 1 < text.size() && plain(text[end + 1]) == '\n' ? 2 : 1;
    lines.push_back(run.text(text.substr(i, (keep ? end : line_end) - i)));
    i = end;
  }
  return run.list(std::move(lines));
}

// The part of the text between the arguments start and end.
std::pair<i64, i64> bounds(Run& run, const Value& self, const Value* first, const Value* last) {
  const i64 size = static_cast<i64>(self_text(self).size());
  const auto place = [&](const Value* value, i64 otherwise) {
    if (!value || value->is_none()) return otherwise;
    const i64 i = need_integer(run, *value, "a place in a string");
    return i < 0 ? std::max<i64>(i + size, 0) : i;
  };
  return {place(first, 0), std::min(place(last, size), size)};
}

Value has_affix(Run& run, const Value& self, const Given& given, bool at_start) {
  const std::pair<i64, i64> range = bounds(run, self, given[1], given[2]);
  const auto matches = [&, from = range.first, to = range.second](const Value& value) {
    const Text& affix = need_text(run, value, "the argument of startswith or endswith");
    const i64 size = static_cast<i64>(affix.size());
    if (from > to || to - from < size) return false;
    run.spend_characters(affix.size());
    return TextView(self_text(self)).substr(static_cast<std::size_t>(at_start ? from : to - size), affix.size()) == affix;
  };
  const Sequence* several = given[0]->sequence();
  if (!several || several->kind != &kTuple) return matches(*given[0]);
  return std::any_of(several->items.begin(), several->items.end(), matches);
}
Value starts_with(Run& run, const Value& self, const Given& given) { return has_affix(run, self, given, true); }
Value ends_with(Run& run, const Value& self, const Given& given) { return has_affix(run, self, given, false); }

i64 find_in(Run& run, const Value& self, const Given& given, bool last) {
  const Text& needle = need_text(run, *given[0], "what is searched in a string");
  const auto [from, to] = bounds(run, self, given[1], given[2]);
  if (from > to) return -1;
  run.spend_characters(self_text(self).size() + needle.size());
  const TextView part = TextView(self_text(self)).substr(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from));
  const std::size_t place = last ? find_last(part, needle) : find(part, needle);
  return place == kNowhere ? -1 : from + static_cast<i64>(place);
}
Value find_first(Run& run, const Value& self, const Given& given) { return find_in(run, self, given, false); }
Value find_from_right(Run& run, const Value& self, const Given& given) { return find_in(run, self, given, true); }
Value index_of(Run& run, const Value& self, const Given& given) {
  const i64 place = find_in(run, self, given, false);
  if (place < 0) run.fail("index(): the string does not hold what is searched");
  return place;
}
Value index_from_right(Run& run, const Value& self, const Given& given) {
  const i64 place = find_in(run, self, given, true);
  if (place < 0) run.fail("rindex(): the string does not hold what is searched");
  return place;
}

Value count_text(Run& run, const Value& self, const Given& given) {
  const Text& needle = need_text(run, *given[0], "what is counted in a string");
  const auto [from, to] = bounds(run, self, given[1], given[2]);
  if (from > to) return i64{0};
  const TextView part = TextView(self_text(self)).substr(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from));
  if (needle.empty()) return static_cast<i64>(part.size()) + 1;
  run.spend_characters(part.size() + needle.size());
  i64 count = 0;
  for (std::size_t i = find(part, needle); i != kNowhere; i = find(part, needle, i + needle.size())) {
    count++;
    run.spend(1 + static_cast<i64>(needle.size() / 16));
  }
  return count;
}

Value replace_text(Run& run, const Value& self, const Given& given) {
  const Text& old = need_text(run, *given[0], "the first argument of replace");
  const Text& fresh = need_text(run, *given[1], "the second argument of replace");
  i64 left = given[2] ? need_integer(run, *given[2], "the number of replacements") : -1;
  const TextView text = self_text(self);
  TextBuilder out(run);
  std::size_t from = 0;
  while (left != 0) {
    run.spend(1 + static_cast<i64>(old.size() / 16));
    const std::size_t place = old.empty() ? from : find(text, old, from);
    if (place == kNowhere || place > text.size()) break;
    out.add(text.substr(from, place - from));
    out.add(fresh);
    if (left > 0) left--;
    from = place + old.size();
    if (!old.empty()) continue;
    if (place == text.size()) break;
    out.add(text[from++]);  // between all characters
  }
  if (from < text.size()) out.add(text.substr(from));
  return run.text(out.take());
}

Value join_texts(Run& run, const Value& self, const Given& given) {
  TextBuilder out(run);
  Value keep;
  bool first = true;
  for (const Value& item : iterate(run, *given[0], keep)) {
    if (!first) out.add(self_text(self));
    first = false;
    out.add(need_text(run, item, "an item of join"));
  }
  return run.text(out.take());
}

Value pad_text(Run& run, const Value& self, const Given& given, double before_share) {
  const i64 size = static_cast<i64>(self_text(self).size());
  const i64 width = need_integer(run, *given[0], "a width");
  const Text fill = given[1] ? need_text(run, *given[1], "the fill character") : Text(1, U' ');
  if (fill.size() != 1) run.fail("the fill character has to be one character");
  const i64 missing = std::max<i64>(width - size, 0);
  // CPython puts the odd blank of center() on the left when the width is odd.
  const i64 before = before_share == 0.5 ? missing / 2 + (missing & width & 1) : before_share > 0 ? missing : 0;
  TextBuilder out(run);
  out.repeat(fill[0], before);
  out.add(self_text(self));
  out.repeat(fill[0], missing - before);
  return run.text(out.take());
}
Value center(Run& run, const Value& self, const Given& given) { return pad_text(run, self, given, 0.5); }
Value pad_left(Run& run, const Value& self, const Given& given) { return pad_text(run, self, given, 1); }
Value pad_right(Run& run, const Value& self, const Given& given) { return pad_text(run, self, given, 0); }

Value fill_zeros(Run& run, const Value& self, const Given& given) {
  const TextView text = self_text(self);
  const bool sign = !text.empty() && (plain(text[0]) == '-' || plain(text[0]) == '+');
  TextBuilder out(run);
  if (sign) out.add(text[0]);
  out.repeat('0', need_integer(run, *given[0], "a width") - static_cast<i64>(text.size()));
  out.add(text.substr(sign ? 1 : 0));
  return run.text(out.take());
}

Value partition(Run& run, const Value& self, const Given& given, bool last) {
  const Text& separator = need_text(run, *given[0], "the separator of partition");
  if (separator.empty()) run.fail("the separator of partition is empty");
  const TextView text = self_text(self);
  run.spend_characters(text.size() + separator.size());
  const std::size_t place = last ? find_last(text, separator) : find(text, separator);
  const bool found = place != kNowhere;
  std::vector<Value> parts;
  if (!found && last) parts = {run.text(""), run.text(""), self};
  else if (!found) parts = {self, run.text(""), run.text("")};
  else parts = {run.text(text.substr(0, place)), run.text(text.substr(place, separator.size())),
                run.text(text.substr(place + separator.size()))};
  return run.sequence(kTuple, std::move(parts));
}
Value partition_first(Run& run, const Value& self, const Given& given) { return partition(run, self, given, false); }
Value partition_last(Run& run, const Value& self, const Given& given) { return partition(run, self, given, true); }

Value remove_affix(Run& run, const Value& self, const Given& given, bool prefix) {
  const Text& affix = need_text(run, *given[0], "the argument of removeprefix or removesuffix");
  const TextView text = self_text(self);
  if (prefix ? text.starts_with(affix) : text.ends_with(affix))
    return run.text(prefix ? text.substr(affix.size()) : text.substr(0, text.size() - affix.size()));
  return self;
}
Value remove_prefix(Run& run, const Value& self, const Given& given) { return remove_affix(run, self, given, true); }
Value remove_suffix(Run& run, const Value& self, const Given& given) { return remove_affix(run, self, given, false); }

template <Text (*map)(TextView)>
Value mapped(Run& run, const Value& self, const Given&) {
  run.spend_characters(self_text(self).size());
  run.need(12 * self_text(self).size());
  return run.text(map(self_text(self)));
}

Text swap_case(TextView text) {
  Text out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (is_upper(text[i])) append_lower(out, text, i);
    else append_upper(out, text[i]);
  }
  return out;
}

// Not empty, and every character fits.
template <bool (*fits)(char32_t)>
Value all_fit(Run& run, const Value& self, const Given&) {
  run.spend_characters(self_text(self).size());
  const Text& text = self_text(self);
  return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}
bool is_alphanumeric(char32_t c) { return is_letter(c) || is_digit(c); }

template <bool upper>
Value all_cased(Run& run, const Value& self, const Given&) {
  run.spend_characters(self_text(self).size());
  bool any = false;
  for (char32_t c : self_text(self)) {
    if (is_cased(c) && (upper ? !is_upper(c) : !is_lower(c))) return false;
    any |= is_cased(c);
  }
  return any;
}
Value is_ascii(Run&, const Value& self, const Given&) {
  return std::all_of(self_text(self).begin(), self_text(self).end(), [](char32_t c) { return plain(c) < 0x80; });
}

Value format_text(Run& run, const Value& self, const Given& given) { return format_braces(run, self_text(self), *given.all); }

constexpr Row kTextMethods[] = {
    {"strip", "chars?", strip_both},
    {"lstrip", "chars?", strip_left},
    {"rstrip", "chars?", strip_right},
    {"split", "sep? maxsplit?", split_left},
    {"rsplit", "sep? maxsplit?", split_right},
    {"splitlines", "keepends?", split_lines},
    {"startswith", "prefix start? end?", starts_with},
    {"endswith", "suffix start? end?", ends_with},
    {"find", "sub start? end?", find_first},
    {"rfind", "sub start? end?", find_from_right},
    {"index", "sub start? end?", index_of},
    {"rindex", "sub start? end?", index_from_right},
    {"count", "sub start? end?", count_text},
    {"replace", "old new count?", replace_text},
    {"join", "iterable", join_texts},
    {"upper", "", mapped<upper>},
    {"lower", "", mapped<lower>},
    {"title", "", mapped<title>},
    {"capitalize", "", mapped<capitalize>},
    {"swapcase", "", mapped<swap_case>},
    {"center", "width fillchar?", center},
    {"ljust", "width fillchar?", pad_right},
    {"rjust", "width fillchar?", pad_left},
    {"zfill", "width", fill_zeros},
    {"partition", "sep", partition_first},
    {"rpartition", "sep", partition_last},
    {"removeprefix", "prefix", remove_prefix},
    {"removesuffix", "suffix", remove_suffix},
    {"format", "*", format_text},
    {"isalpha", "", all_fit<is_letter>},
    {"isalnum", "", all_fit<is_alphanumeric>},
    {"isdigit", "", all_fit<is_digit>},
    {"isdecimal", "", all_fit<is_decimal>},
    {"isspace", "", all_fit<is_space>},
    {"isupper", "", all_cased<true>},
    {"islower", "", all_cased<false>},
    {"isascii", "", is_ascii},
    {"casefold", "", nullptr},
    {"encode", "", nullptr},
    {"expandtabs", "", nullptr},
    {"format_map", "", nullptr},
    {"isidentifier", "", nullptr},
    {"isnumeric", "", nullptr},
    {"isprintable", "", nullptr},
    {"istitle", "", nullptr},
    {"maketrans", "", nullptr},
    {"translate", "", nullptr},
};

Value dict_get(Run& run, const Value& self, const Given& given) {
  const Value* value = find(run, *self.dict(), *given[0]);
  return value ? *value : given[1] ? *given[1] : Value(None{});
}
Value dict_items(Run& run, const Value& self, const Given&) {
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict()->entries) items.push_back(run.sequence(kTuple, {key, value}));
  return run.sequence(kDictItems, std::move(items));
}
Value dict_keys(Run& run, const Value& self, const Given&) {
  std::vector<Value> keys;
  for (const auto& [key, value] : self.dict()->entries) keys.push_back(key);
  return run.sequence(kDictKeys, std::move(keys));
}
Value dict_values(Run& run, const Value& self, const Given&) {
  std::vector<Value> values;
  for (const auto& [key, value] : self.dict()->entries) values.push_back(value);
  return run.sequence(kDictValues, std::move(values));
}
Value same(Run&, const Value& self, const Given&) { return self; }

// What changes a list or dict is refused by the sandbox that templates run in.
constexpr Row kDictMethods[] = {
    {"get", "key default?", dict_get}, {"items", "", dict_items},      {"keys", "", dict_keys},
    {"values", "", dict_values},       {"copy", "", same},             {"clear", "", nullptr},
    {"fromkeys", "", nullptr},         {"pop", "", nullptr},           {"popitem", "", nullptr},
    {"setdefault", "", nullptr},       {"update", "", nullptr},
};

Value list_index(Run& run, const Value& self, const Given& given) {
  const std::vector<Value>& items = self.sequence()->items;
  for (std::size_t i = 0; i < items.size(); i++)
    if (equal(run, items[i], *given[0])) return static_cast<i64>(i);
  run.fail("index(): the list does not hold what is searched");
}
Value list_count(Run& run, const Value& self, const Given& given) {
  i64 count = 0;
  for (const Value& item : self.sequence()->items) count += equal(run, item, *given[0]);
  return count;
}

constexpr Row kListMethods[] = {
    {"index", "value", list_index}, {"count", "value", list_count}, {"copy", "", same},
    {"append", "", nullptr},        {"clear", "", nullptr},         {"extend", "", nullptr},
    {"insert", "", nullptr},        {"pop", "", nullptr},           {"remove", "", nullptr},
    {"reverse", "", nullptr},       {"sort", "", nullptr},
};
constexpr Row kTupleMethods[] = {{"index", "value", list_index}, {"count", "value", list_count}};
constexpr Row kRangeMethods[] = {{"index", "value", list_index}, {"count", "value", list_count}, {"start", "", nullptr},
                                 {"stop", "", nullptr},          {"step", "", nullptr}};
constexpr Row kViewMethods[] = {{"isdisjoint", "", nullptr}, {"mapping", "", nullptr}};
constexpr Row kNumberMethods[] = {
    {"real", "", nullptr},       {"imag", "", nullptr},       {"numerator", "", nullptr},        {"denominator", "", nullptr},
    {"bit_length", "", nullptr}, {"bit_count", "", nullptr},  {"conjugate", "", nullptr},        {"to_bytes", "", nullptr},
    {"from_bytes", "", nullptr}, {"is_integer", "", nullptr}, {"as_integer_ratio", "", nullptr}, {"hex", "", nullptr},
    {"fromhex", "", nullptr},
};
constexpr Row kMacroMethods[] = {{"arguments", "", nullptr}, {"catch_kwargs", "", nullptr}, {"catch_varargs", "", nullptr}};

Value cycle(Run& run, const Value& self, const Given& given) {
  const std::vector<Value>& values = given.all->positional;
  if (values.empty()) run.fail("cycle() needs values");
  return values[static_cast<std::size_t>(self.object<Loop>()->index) % values.size()];
}
constexpr Row kLoopMethods[] = {{"cycle", "*", cycle}, {"changed", "*", nullptr}};

const Row* find_row(std::span<const Row> rows, std::string_view name) {
  for (const Row& row : rows)
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace

const Row* find_method(const Value& object, std::string_view name) {
  if (object.text()) return find_row(kTextMethods, name);
  if (object.dict()) return find_row(kDictMethods, name);
  if (as_number(object)) return find_row(kNumberMethods, name);
  if (object.object<Loop>()) return find_row(kLoopMethods, name);
  if (object.object<const Macro>()) return find_row(kMacroMethods, name);
  const Sequence* sequence = object.sequence();
  if (!sequence) return nullptr;
  if (sequence->kind == &kList) return find_row(kListMethods, name);
  if (sequence->kind == &kTuple) return find_row(kTupleMethods, name);
  if (sequence->kind == &kRange) return find_row(kRangeMethods, name);
  return find_row(kViewMethods, name);
}

}  // namespace bitkerf::jinja
