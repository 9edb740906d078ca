// Arithmetic, and what Python's operators do to strings and lists.
#include <cmath>

#include "core/checked.h"
#include "files/jinja/python.h"

namespace bitkerf::jinja {
namespace {

[[noreturn]] void mismatch(Run& run, std::string_view symbol, const Value& a, const Value& b) {
  run.fail("'{}' does not work between {} and {}", symbol, describe(a), describe(b));
}

Value checked(Run& run, std::optional<i64> result) {
  if (!result) run.fail("integers of more than 64 bits are not supported");
  return *result;
}

double finite(Run& run, double result, double a, double b) {
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) run.fail("a number is too large for a float");
  return result;
}

i64 floor_divide(i64 a, i64 b) { return a / b - ((a % b != 0) && ((a < 0) != (b < 0))); }

Value repeat(Run& run, const Value& what, i64 count) {
  if (const Text* text = what.text()) {
    TextBuilder out(run);
    if (!text->empty())
      for (i64 i = 0; i < count; i++) out.add(*text);
    return run.text(out.take(), what.is_markup());
  }
  const Sequence& sequence = *what.sequence();
  std::vector<Value> items;
  if (!sequence.items.empty()) {
    for (i64 i = 0; i < count; i++) {
      run.need((items.size() + sequence.items.size()) * 2 * sizeof(Value));
      run.spend(static_cast<i64>(sequence.items.size()));
      items.insert(items.end(), sequence.items.begin(), sequence.items.end());
    }
  }
  return run.sequence(*sequence.kind, std::move(items));
}

bool repeats(const Value& value) {
  const Sequence* s = value.sequence();
  return value.text() || (s && (s->kind == &kList || s->kind == &kTuple));
}

Value subtract(Run& run, const Value& a, const Value& b) {
  const std::optional<i64> ai = as_integer(a), bi = as_integer(b);
  if (ai && bi) {
    i64 difference = 0;
    const bool wrapped = __builtin_sub_overflow(*ai, *bi, &difference);
    return checked(run, wrapped ? std::nullopt : std::optional<i64>(difference));
  }
  const std::optional<double> ad = as_number(a), bd = as_number(b);
  if (!ad || !bd) mismatch(run, "-", a, b);
  return *ad - *bd;
}

Value multiply(Run& run, const Value& a, const Value& b) {
  const std::optional<i64> ai = as_integer(a), bi = as_integer(b);
  if (ai && bi) return checked(run, checked_mul(*ai, *bi));
  if (repeats(a) && bi) return repeat(run, a, *bi);
  if (repeats(b) && ai) return repeat(run, b, *ai);
  const std::optional<double> ad = as_number(a), bd = as_number(b);
  if (!ad || !bd) mismatch(run, "*", a, b);
  return *ad * *bd;
}

Value divide(Run& run, const Value& a, const Value& b) {
  const std::optional<double> ad = as_number(a), bd = as_number(b);
  if (!ad || !bd) mismatch(run, "/", a, b);
  if (*bd == 0) run.fail("division by zero");
  return *ad / *bd;
}

Value divide_down(Run& run, const Value& a, const Value& b) {
  const std::optional<i64> ai = as_integer(a), bi = as_integer(b);
  const std::optional<double> ad = as_number(a), bd = as_number(b);
  if (!ad || !bd) mismatch(run, "//", a, b);
  if (*bd == 0) run.fail("division by zero");
  if (!ai || !bi) {
    // As CPython's float_divmod: exact through fmod.
    const double rest = std::fmod(*ad, *bd);
    double quotient = (*ad - rest) / *bd;
    if (rest != 0 && (rest < 0) != (*bd < 0)) quotient -= 1;
    const double whole = std::floor(quotient);
    return quotient == 0 ? std::copysign(0.0, *ad / *bd) : quotient - whole > 0.5 ? whole + 1 : whole;
  }
  if (*bi == -1) return negate(run, *ai);
  return floor_divide(*ai, *bi);
}

Value remainder(Run& run, const Value& a, const Value& b) {
  if (const Text* text = a.text()) return format_percent(run, *text, b);
  const std::optional<i64> ai = as_integer(a), bi = as_integer(b);
  const std::optional<double> ad = as_number(a), bd = as_number(b);
  if (!ad || !bd) mismatch(run, "%", a, b);
  if (*bd == 0) run.fail("division by zero");
  if (ai && bi) return *bi == -1 ? i64{0} : *ai - floor_divide(*ai, *bi) * *bi;
  double rest = std::fmod(*ad, *bd);
  if (rest != 0 && (rest < 0) != (*bd < 0)) rest += *bd;
  return rest == 0 ? std::copysign(0.0, *bd) : rest;
}

Value power(Run& run, const Value& a, const Value& b) {
  const std::optional<i64> ai = as_integer(a), bi = as_integer(b);
  if (ai && bi && *bi >= 0) {
    i64 result = 1, base = *ai, exponent = *bi;
    if (base == 0 || base == 1) return exponent == 0 ? i64{1} : base;
    if (base == -1) return exponent % 2 ? i64{-1} : i64{1};
    for (; exponent > 0; exponent--) {
      const std::optional<i64> product = checked_mul(result, base);
      if (!product) return checked(run, std::nullopt);
      result = *product;
    }
    return result;
  }
  const std::optional<double> ad = as_number(a), bd = as_number(b);
  if (!ad || !bd) mismatch(run, "**", a, b);
  if (*ad == 0 && *bd < 0) run.fail("zero to a negative power");
  const double result = std::pow(*ad, *bd);
  if (std::isnan(result) && !std::isnan(*ad) && !std::isnan(*bd)) run.fail("complex numbers are not supported");
  return finite(run, result, *ad, *bd);
}

constexpr Operator kOperators[] = {
    {"+", add}, {"-", subtract}, {"*", multiply}, {"/", divide}, {"//", divide_down}, {"%", remainder}, {"**", power},
};

}  // namespace

const Operator* find_operator(std::string_view symbol) {
  for (const Operator& row : kOperators)
    if (row.symbol == symbol) return &row;
  return nullptr;
}

void add_escaped(TextBuilder& out, TextView text) {
  for (char32_t c : text) {
    const char32_t p = plain(c);
    const std::string_view entity = p == '&'    ? "&amp;"
                                    : p == '>'  ? "&gt;"
                                    : p == '<'  ? "&lt;"
                                    : p == '\'' ? "&#39;"
                                    : p == '"'  ? "&#34;"
                                                : "";
    if (entity.empty()) out.add(c);
    for (char x : entity) out.add(static_cast<char32_t>(x) | (c & kForeign));
  }
}

Value add(Run& run, const Value& a, const Value& b) {
  const Text *at = a.text(), *bt = b.text();
  if (at && bt) {
    const bool markup = a.is_markup() || b.is_markup();
    TextBuilder out(run);
    if (markup && !a.is_markup()) add_escaped(out, *at);
    else out.add(*at);
    if (markup && !b.is_markup()) add_escaped(out, *bt);
    else out.add(*bt);
    return run.text(out.take(), markup);
  }
  const Sequence *as = a.sequence(), *bs = b.sequence();
  if (as && bs && as->kind == bs->kind && (as->kind == &kList || as->kind == &kTuple)) {
    run.need((as->items.size() + bs->items.size()) * sizeof(Value));
    run.spend(static_cast<i64>((as->items.size() + bs->items.size()) / 8));
    std::vector<Value> items;
    items.reserve(as->items.size() + bs->items.size());
    items.insert(items.end(), as->items.begin(), as->items.end());
    items.insert(items.end(), bs->items.begin(), bs->items.end());
    return run.sequence(*as->kind, std::move(items));
  }
  const std::optional<i64> ai = as_integer(a), bi = as_integer(b);
  if (ai && bi) return checked(run, checked_add(*ai, *bi));
  const std::optional<double> ad = as_number(a), bd = as_number(b);
  if (!ad || !bd) mismatch(run, "+", a, b);
  return *ad + *bd;
}

Value negate(Run& run, const Value& value) {
  if (const std::optional<i64> i = as_integer(value)) return subtract(run, i64{0}, *i);
  if (const double* d = value.get<double>()) return -*d;
  run.fail("'-' does not work on {}", describe(value));
}

}  // namespace bitkerf::jinja
