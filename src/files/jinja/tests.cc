// The tests behind `is`.
#include "files/jinja/python.h"

namespace bitkerf::jinja {
namespace {

Value answer(bool value) { return value; }

i64 rest_of(Run& run, const Value& value, const Value& divisor) {
  Value rest = find_operator("%")->apply(run, value, divisor);
  const std::optional<double> number = as_number(rest);
  if (!number) run.fail("a number is needed, not {}", describe(value));
  return *number != 0;
}

bool is_sequence(const Value& value) {
  return value.is_undefined() || value.text() || value.dict() || (value.sequence() && value.sequence()->kind->indexed);
}

bool same_object(const Value& a, const Value& b) {
  if (a.any().index() != b.any().index()) return false;
  if (const bool* x = a.get<bool>()) return *x == *b.get<bool>();
  if (a.is_none() || a.is_undefined()) return true;
  if (a.dict()) return a.dict() == b.dict();
  if (a.sequence()) return a.sequence() == b.sequence();
  return a.object<Namespace>() && a.object<Namespace>() == b.object<Namespace>();
}

template <char sign>
Value is_odd_or_even(Run& run, const Value& value, const Given&) {
  return answer((rest_of(run, value, i64{2}) != 0) == (sign == '1'));
}
Value equals(Run& run, const Value& value, const Given& given) { return answer(equal(run, value, *given[0])); }
Value differs(Run& run, const Value& value, const Given& given) { return answer(!equal(run, value, *given[0])); }
Value greater(Run& run, const Value& value, const Given& given) { return answer(order(run, value, *given[0], ">") > 0); }
Value at_least(Run& run, const Value& value, const Given& given) { return answer(order(run, value, *given[0], ">=") >= 0); }
Value less(Run& run, const Value& value, const Given& given) { return answer(order(run, value, *given[0], "<") < 0); }
Value at_most(Run& run, const Value& value, const Given& given) { return answer(order(run, value, *given[0], "<=") <= 0); }

template <bool upper>
Value is_case(Run& run, const Value& value, const Given&) {
  const Value text = to_text(run, value);
  Arguments none;
  return apply(run, *find_method(text, upper ? "isupper" : "islower"), text, none);
}

constexpr Row kTests[] = {
    {"defined", "", [](Run&, const Value& v, const Given&) { return answer(!v.is_undefined()); }},
    {"undefined", "", [](Run&, const Value& v, const Given&) { return answer(v.is_undefined()); }},
    {"none", "", [](Run&, const Value& v, const Given&) { return answer(v.is_none()); }},
    {"string", "", [](Run&, const Value& v, const Given&) { return answer(v.text()); }},
    {"mapping", "", [](Run&, const Value& v, const Given&) { return answer(v.dict()); }},
    {"iterable", "", [](Run&, const Value& v, const Given&) { return answer(is_iterable(v)); }},
    {"sequence", "", [](Run&, const Value& v, const Given&) { return answer(is_sequence(v)); }},
    {"boolean", "", [](Run&, const Value& v, const Given&) { return answer(v.get<bool>()); }},
    {"true", "", [](Run&, const Value& v, const Given&) { return answer(v.get<bool>() && *v.get<bool>()); }},
    {"false", "", [](Run&, const Value& v, const Given&) { return answer(v.get<bool>() && !*v.get<bool>()); }},
    {"integer", "", [](Run&, const Value& v, const Given&) { return answer(v.get<i64>()); }},
    {"float", "", [](Run&, const Value& v, const Given&) { return answer(v.get<double>()); }},
    {"number", "", [](Run&, const Value& v, const Given&) { return answer(as_number(v).has_value()); }},
    {"callable", "", [](Run&, const Value& v, const Given&) {
       return answer(v.is_undefined() || v.object<const Callable>() || v.object<const Macro>() || v.object<Loop>());
     }},
    {"escaped", "", [](Run&, const Value& v, const Given&) { return answer(v.is_markup()); }},
    {"in", "seq", [](Run& run, const Value& v, const Given& given) { return answer(contains(run, *given[0], v)); }},
    {"sameas", "other", [](Run&, const Value& v, const Given& given) { return answer(same_object(v, *given[0])); }},
    {"odd", "", is_odd_or_even<'1'>},
    {"even", "", is_odd_or_even<'0'>},
    {"divisibleby", "num", [](Run& run, const Value& v, const Given& given) { return answer(rest_of(run, v, *given[0]) == 0); }},
    {"eq", "other", equals},
    {"equalto", "other", equals},
    {"==", "other", equals},
    {"ne", "other", differs},
    {"!=", "other", differs},
    {"gt", "other", greater},
    {"greaterthan", "other", greater},
    {">", "other", greater},
    {"ge", "other", at_least},
    {">=", "other", at_least},
    {"lt", "other", less},
    {"lessthan", "other", less},
    {"<", "other", less},
    {"le", "other", at_most},
    {"<=", "other", at_most},
    {"upper", "", is_case<true>},
    {"lower", "", is_case<false>},
    {"filter", "", [](Run& run, const Value& v, const Given&) {
       return answer(v.text() && find_filter(to_utf8(*v.text())));
     }},
    {"test", "", [](Run& run, const Value& v, const Given&) { return answer(v.text() && find_test(to_utf8(*v.text()))); }},
};

}  // namespace

const Row* find_test(std::string_view name) {
  for (const Row& row : kTests)
    if (row.name == name) return &row;
  return nullptr;
}

std::string known_tests() {
  std::string names;
  for (const Row& row : kTests)
    if (row.call) names += fmt::format("{}{}", names.empty() ? "" : " ", row.name);
  return names;
}

}  // namespace bitkerf::jinja
