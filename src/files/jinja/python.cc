// Truth, equality, order and printing.
#include "files/jinja/python.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace bitkerf::jinja {
namespace {

template <class... F>
struct Overload : F... { using F::operator()...; };
template <class... F>
Overload(F...) -> Overload<F...>;

}  // namespace

std::string_view type_name(const Value& value) {
  return std::visit(
      Overload{[](const Undefined&) -> std::string_view { return "Undefined"; },
               [](const None&) -> std::string_view { return "NoneType"; },
               [](bool) -> std::string_view { return "bool"; }, [](i64) -> std::string_view { return "int"; },
               [](double) -> std::string_view { return "float"; },
               [](const std::shared_ptr<const TextObject>&) -> std::string_view { return "str"; },
               [](const std::shared_ptr<const Sequence>& s) -> std::string_view { return s->kind->type_name; },
               [](const std::shared_ptr<const Dict>&) -> std::string_view { return "dict"; },
               [](const std::shared_ptr<Namespace>&) -> std::string_view { return "namespace"; },
               [](const std::shared_ptr<const Macro>&) -> std::string_view { return "macro"; },
               [](const std::shared_ptr<const Callable>&) -> std::string_view { return "function"; },
               [](const std::shared_ptr<Loop>&) -> std::string_view { return "loop"; }},
      value.any());
}

std::string describe(const Value& value) {
  const Undefined* undefined = value.get<Undefined>();
  if (!undefined) return fmt::format("a value of type {}", type_name(value));
  return undefined->name ? fmt::format("'{}', which is undefined", *undefined->name) : "an undefined value";
}

bool truth(Run& run, const Value& value) {
  if (const bool* b = value.get<bool>()) return *b;
  if (const i64* i = value.get<i64>()) return *i != 0;
  if (const double* d = value.get<double>()) return *d != 0;
  if (const Text* text = value.text()) return !text->empty();
  if (const Sequence* sequence = value.sequence()) return !sequence->kind->sized || !sequence->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return !value.is_undefined() && !value.is_none();
}

std::optional<i64> as_integer(const Value& value) {
  if (const i64* i = value.get<i64>()) return *i;
  if (const bool* b = value.get<bool>()) return *b ? 1 : 0;
  return std::nullopt;
}

std::optional<double> as_number(const Value& value) {
  if (const double* d = value.get<double>()) return *d;
  if (std::optional<i64> i = as_integer(value)) return static_cast<double>(*i);
  return std::nullopt;
}

i64 need_integer(Run& run, const Value& value, std::string_view what) {
  std::optional<i64> i = as_integer(value);
  if (!i) run.fail("{} has to be an integer, not {}", what, describe(value));
  return *i;
}

const Text& need_text(Run& run, const Value& value, std::string_view what) {
  const Text* text = value.text();
  if (!text) run.fail("{} has to be a string, not {}", what, describe(value));
  return *text;
}

namespace {

// Integers and floats compare by their exact values, as in Python; 2^63 and more do not fit an i64.
int compare_exactly(i64 a, double b) {
  if (b >= 9223372036854775808.0) return -1;
  if (b < -9223372036854775808.0) return 1;
  const double whole = std::floor(b);
  const i64 integer = static_cast<i64>(whole);
  if (a != integer) return a < integer ? -1 : 1;
  return b > whole ? -1 : 0;
}

// nullopt: at least one is no number, or one is NaN.
std::optional<int> compare_numbers(const Value& a, const Value& b) {
  const std::optional<i64> ai = as_integer(a), bi = as_integer(b);
  if (ai && bi) return *ai < *bi ? -1 : *ai > *bi;
  const double *ad = a.get<double>(), *bd = b.get<double>();
  if ((ad && std::isnan(*ad)) || (bd && std::isnan(*bd))) return std::nullopt;
  if (ad && bd) return *ad < *bd ? -1 : *ad > *bd;
  if (ai && bd) return compare_exactly(*ai, *bd);
  if (ad && bi) return -compare_exactly(*bi, *ad);
  return std::nullopt;
}

}  // namespace

bool equal(Run& run, const Value& a, const Value& b) {
  run.spend(1);
  if (as_number(a) && as_number(b)) return compare_numbers(a, b) == 0;
  const Text *at = a.text(), *bt = b.text();
  if (at && bt) {
    if (at->size() != bt->size()) return false;
    run.spend_characters(at->size());
    return *at == *bt;
  }
  const Sequence *as = a.sequence(), *bs = b.sequence();
  if (as && bs) {
    if (as == bs) return true;
    if (as->kind != bs->kind || !as->kind->indexed || as->items.size() != bs->items.size()) return false;
    for (std::size_t i = 0; i < as->items.size(); i++)
      if (!equal(run, as->items[i], bs->items[i])) return false;
    return true;
  }
  const Dict *ad = a.dict(), *bd = b.dict();
  if (ad && bd) {
    if (ad->entries.size() != bd->entries.size()) return false;
    for (const auto& [key, value] : ad->entries) {
      const Value* other = find(run, *bd, key);
      if (!other || !equal(run, value, *other)) return false;
    }
    return true;
  }
  if (a.any().index() != b.any().index()) return false;
  if (a.is_none() || a.is_undefined()) return true;
  if (const Namespace* space = a.object<Namespace>()) return space == b.object<Namespace>();
  if (const Macro* macro = a.object<const Macro>()) return macro == b.object<const Macro>();
  return false;
}

int order(Run& run, const Value& a, const Value& b, std::string_view sign) {
  run.spend(1);
  if (as_number(a) && as_number(b)) {
    const std::optional<int> sides = compare_numbers(a, b);
    if (!sides) run.fail("'{}' between numbers that are not numbers (NaN) is not supported", sign);
    return *sides;
  }
  const Text *at = a.text(), *bt = b.text();
  if (at && bt) {
    run.spend_characters(std::min(at->size(), bt->size()));
    return at->compare(*bt);
  }
  const Sequence *as = a.sequence(), *bs = b.sequence();
  if (as && bs && as->kind == bs->kind && (as->kind == &kList || as->kind == &kTuple)) {
    for (std::size_t i = 0; i < std::min(as->items.size(), bs->items.size()); i++)
      if (!equal(run, as->items[i], bs->items[i])) return order(run, as->items[i], bs->items[i], sign);
    return as->items.size() < bs->items.size() ? -1 : as->items.size() > bs->items.size();
  }
  run.fail("'{}' does not compare {} with {}", sign, describe(a), describe(b));
}

std::string float_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  // The shortest digits that read back as the same number, in Python's choice between 0.0001 and 1e-05.
  char digits[40];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, number, std::chars_format::scientific);
  std::string text(digits, end.ptr);
  const std::size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  if (exponent < -4 || exponent >= 16) return text;
  char plain_digits[400];
  const std::to_chars_result plain_end =
      std::to_chars(plain_digits, plain_digits + sizeof plain_digits, number, std::chars_format::fixed);
  std::string plain_text(plain_digits, plain_end.ptr);
  if (plain_text.find('.') == std::string::npos) plain_text += ".0";
  return plain_text;
}

namespace {

void print_quoted(TextBuilder& out, const Text& text) {
  const bool has_single = text.find(U'\'') != kNowhere, has_double = text.find(U'"') != kNowhere;
  const char32_t quote = has_single && !has_double ? '"' : '\'';
  out.add(quote);
  for (char32_t c : text) {
    const char32_t p = plain(c), mark = c & kForeign;
    const auto letters = [&](const std::string& s) {
      for (char x : s) out.add(static_cast<char32_t>(x) | mark);
    };
    if (p == quote || p == '\\') {
      out.add('\\' | mark);
      out.add(c);
    } else if (p == '\n') letters("\\n");
    else if (p == '\r') letters("\\r");
    else if (p == '\t') letters("\\t");
    else if (is_printable(c)) out.add(c);
    else if (p < 0x100) letters(fmt::format("\\x{:02x}", static_cast<unsigned>(p)));
    else if (p < 0x10000) letters(fmt::format("\\u{:04x}", static_cast<unsigned>(p)));
    else letters(fmt::format("\\U{:08x}", static_cast<unsigned>(p)));
  }
  out.add(quote);
}

void print_sequence(TextBuilder& out, const Sequence& sequence) {
  Run& run = out.run();
  const SequenceKind& kind = *sequence.kind;
  if (&kind == &kRange || &kind == &kGenerator) run.fail("printing a {} is not supported", kind.type_name);
  out.add(kind.open);
  for (std::size_t i = 0; i < sequence.items.size(); i++) {
    if (i > 0) out.add(", ");
    print_exactly(out, sequence.items[i]);
  }
  if (&kind == &kTuple && sequence.items.size() == 1) out.add(",");
  out.add(kind.close);
}

}  // namespace

void print_exactly(TextBuilder& out, const Value& value) {
  Deeper deeper(out.run(), out.run().at);
  if (value.is_markup()) {
    out.add("Markup(");
    print_quoted(out, *value.text());
    out.add(")");
  } else if (const Text* text = value.text()) {
    print_quoted(out, *text);
  } else if (const Sequence* sequence = value.sequence()) {
    print_sequence(out, *sequence);
  } else if (const Dict* dict = value.dict()) {
    out.add("{");
    bool first = true;
    for (const auto& [key, item] : dict->entries) {
      if (!first) out.add(", ");
      first = false;
      print_exactly(out, key);
      out.add(": ");
      print_exactly(out, item);
    }
    out.add("}");
  } else if (value.is_undefined()) {
    out.add("Undefined");
  } else {
    print(out, value);
  }
}

void print(TextBuilder& out, const Value& value) {
  if (const Text* text = value.text()) out.add(*text);
  else if (value.is_undefined()) return;
  else if (value.is_none()) out.add("None");
  else if (const bool* b = value.get<bool>()) out.add(*b ? "True" : "False");
  else if (const i64* i = value.get<i64>()) out.add(std::to_string(*i));
  else if (const double* d = value.get<double>()) out.add(float_text(*d));
  else if (value.sequence() || value.dict()) print_exactly(out, value);
  else out.run().fail("printing {} is not supported", describe(value));
}

Value to_text(Run& run, const Value& value) {
  if (value.text()) return value;
  TextBuilder out(run);
  print(out, value);
  return run.text(out.take());
}

namespace {

void print_json_text(TextBuilder& out, const Text& text, bool ascii) {
  out.add("\"");
  for (char32_t c : text) {
    const char32_t p = plain(c), mark = c & kForeign;
    const auto letters = [&](const std::string& s) {
      for (char x : s) out.add(static_cast<char32_t>(x) | mark);
    };
    if (p == '"') letters("\\\"");
    else if (p == '\\') letters("\\\\");
    else if (p == '\n') letters("\\n");
    else if (p == '\r') letters("\\r");
    else if (p == '\t') letters("\\t");
    else if (p == '\f') letters("\\f");
    else if (p == '\b') letters("\\b");
    else if (p < 0x20 || (ascii && p >= 0x7f && p < 0x10000)) letters(fmt::format("\\u{:04x}", static_cast<unsigned>(p)));
    else if (ascii && p >= 0x10000)
      letters(fmt::format("\\u{:04x}\\u{:04x}", static_cast<unsigned>(0xd7c0 + (p >> 10)),
                          static_cast<unsigned>(0xdc00 + (p & 0x3ff))));
    else out.add(c);
  }
  out.add("\"");
}

// A number, true, false or null; false for anything else.
bool print_json_scalar(TextBuilder& out, const Value& value) {
  if (value.is_none()) out.add("null");
  else if (const bool* b = value.get<bool>()) out.add(*b ? "true" : "false");
  else if (const i64* i = value.get<i64>()) out.add(std::to_string(*i));
  else if (const double* d = value.get<double>())
    out.add(std::isnan(*d) ? "NaN" : std::isinf(*d) ? (*d < 0 ? "-Infinity" : "Infinity") : float_text(*d));
  else return false;
  return true;
}

void new_line(TextBuilder& out, const JsonStyle& style, int level) {
  if (!style.indent) return;
  out.add("\n");
  for (int i = 0; i < level; i++) out.add(*style.indent);
}

}  // namespace

void print_json(TextBuilder& out, const Value& value, const JsonStyle& style, int level) {
  Run& run = out.run();
  Deeper deeper(run, run.at);
  if (const Text* text = value.text()) return print_json_text(out, *text, style.ascii);
  if (print_json_scalar(out, value)) return;
  const Sequence* sequence = value.sequence();
  const Dict* dict = value.dict();
  const bool is_list = sequence && (sequence->kind == &kList || sequence->kind == &kTuple);
  if (!is_list && !dict) run.fail("{} cannot be written as JSON", describe(value));
  if (is_list ? sequence->items.empty() : dict->entries.empty()) return out.add(is_list ? "[]" : "{}");

  out.add(is_list ? "[" : "{");
  std::vector<const std::pair<Value, Value>*> entries;
  if (dict)
    for (const auto& entry : dict->entries) entries.push_back(&entry);
  if (style.sort_keys)
    std::stable_sort(entries.begin(), entries.end(),
                     [&](auto* a, auto* b) { return order(run, a->first, b->first, "<") < 0; });
  const std::size_t count = is_list ? sequence->items.size() : entries.size();
  for (std::size_t i = 0; i < count; i++) {
    if (i > 0) out.add(style.item_separator);
    new_line(out, style, level + 1);
    if (dict) {
      const Value& key = entries[i]->first;
      if (const Text* text = key.text()) {
        print_json_text(out, *text, style.ascii);
      } else {
        out.add("\"");
        if (!print_json_scalar(out, key)) run.fail("{} cannot be a key in JSON", describe(key));
        out.add("\"");
      }
      out.add(style.key_separator);
    }
    print_json(out, is_list ? sequence->items[i] : entries[i]->second, style, level + 1);
  }
  new_line(out, style, level);
  out.add(is_list ? "]" : "}");
}

}  // namespace bitkerf::jinja
