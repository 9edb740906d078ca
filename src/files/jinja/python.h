// Python's semantics of the values: what is true, equal, smaller, how a value prints, what an attribute is.
#pragma once

#include <optional>
#include <span>

#include "files/jinja/run.h"

namespace bitkerf::jinja {

std::string_view type_name(const Value& value);           // "str", "dict", "Undefined" ...
std::string describe(const Value& value);                 // for messages: the type, or "'x' (undefined)"
bool truth(Run& run, const Value& value);
bool equal(Run& run, const Value& a, const Value& b);
int order(Run& run, const Value& a, const Value& b, std::string_view sign);  // < 0, 0, > 0; fails where Python would
std::optional<i64> as_integer(const Value& value);        // int and bool
std::optional<double> as_number(const Value& value);      // int, bool and float
i64 need_integer(Run& run, const Value& value, std::string_view what);
const Text& need_text(Run& run, const Value& value, std::string_view what);

void print(TextBuilder& out, const Value& value);         // str(value)
void print_exactly(TextBuilder& out, const Value& value); // repr(value)
Value to_text(Run& run, const Value& value);              // str(value), markup kept
std::string float_text(double number);                    // repr(float)
struct JsonStyle {
  std::optional<Text> indent;
  Text item_separator, key_separator;
  bool sort_keys = false, ascii = false;
};
void print_json(TextBuilder& out, const Value& value, const JsonStyle& style, int level = 0);

// The items of whatever can be iterated; `keep` holds them as long as the caller needs them.
std::span<const Value> iterate(Run& run, const Value& value, Value& keep);
i64 length(Run& run, const Value& value);
bool contains(Run& run, const Value& container, const Value& value);
bool is_iterable(const Value& value);
const Value* find(Run& run, const Dict& dict, const Value& key);
void insert(Run& run, std::vector<std::pair<Value, Value>>& entries, Value key, Value value);

Value attribute(Run& run, const Value& object, const std::string& name);
Value subscript(Run& run, const Value& object, const Value& key);
// nullptr stands for a bound that was left out.
Value slice(Run& run, const Value& object, const Value* first, const Value* last, const Value* step);

struct Operator {
  std::string_view symbol;
  Value (*apply)(Run& run, const Value& a, const Value& b);
};
const Operator* find_operator(std::string_view symbol);   // + - * / // % **
Value add(Run& run, const Value& a, const Value& b);
Value negate(Run& run, const Value& value);
void add_escaped(TextBuilder& out, TextView text);        // & < > ' " as markupsafe writes them

// "..." % value and "...".format(...)
Value format_percent(Run& run, const Text& format, const Value& value);
Value format_braces(Run& run, const Text& format, const Arguments& arguments);

// The tables. Rows that Python or Jinja has and we have not are there with a null function.
const Row* find_filter(std::string_view name);
const Row* find_test(std::string_view name);
const Row* find_function(std::string_view name);
const Row* find_method(const Value& object, std::string_view name);
std::string known_filters();
std::string known_tests();
Given bind(Run& run, const Row& row, Arguments& arguments);
Value apply(Run& run, const Row& row, const Value& self, Arguments& arguments);

}  // namespace bitkerf::jinja
