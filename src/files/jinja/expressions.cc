#include "files/jinja/loop.h"
#include "files/jinja/syntax.h"

namespace bitkerf::jinja {

Value Name::compute(Run& run) const {
  i64 looked_at = 0;
  for (const Scope* scope = run.here.get(); scope; scope = scope->parent.get()) {
    for (const auto& [variable, value] : scope->variables) {
      if (*variable != name) continue;
      run.spend(looked_at / 16);
      return value;
    }
    looked_at += static_cast<i64>(scope->variables.size());
  }
  run.spend(looked_at / 16);
  if (const Row* row = find_function(name)) {
    if (!row->call) run.fail("function '{}' is not supported", name);
    return std::make_shared<const Callable>(Callable{row, Value()});
  }
  return Undefined{&name};
}

Value Attribute::compute(Run& run) const {
  const Value value = object->evaluate(run);
  run.at = at;
  return attribute(run, value, name);
}

Value Subscript::compute(Run& run) const {
  const Value value = object->evaluate(run), index = key->evaluate(run);
  run.at = at;
  return subscript(run, value, index);
}

Value Slice::compute(Run& run) const {
  const Value value = object->evaluate(run);
  Value bounds[3];
  const Value* given[3] = {};
  const ExpressionPointer* expressions[3] = {&first, &last, &step};
  for (int i = 0; i < 3; i++) {
    if (!*expressions[i]) continue;
    bounds[i] = (*expressions[i])->evaluate(run);
    given[i] = &bounds[i];
  }
  run.at = at;
  return slice(run, value, given[0], given[1], given[2]);
}

Value Elements::compute(Run& run) const {
  std::vector<Value> values;
  values.reserve(items.size());
  for (const ExpressionPointer& item : items) values.push_back(item->evaluate(run));
  run.at = at;
  return run.sequence(kind, std::move(values));
}

Value DictLiteral::compute(Run& run) const {
  std::vector<std::pair<Value, Value>> values;
  for (const auto& [key, value] : entries) {
    Value name = key->evaluate(run), item = value->evaluate(run);
    run.at = at;
    insert(run, values, std::move(name), std::move(item));
  }
  return run.dict(std::move(values));
}

Arguments CallArguments::evaluate(Run& run) const {
  Arguments arguments;
  for (const ExpressionPointer& value : positional) arguments.positional.push_back(value->evaluate(run));
  for (const auto& [name, value] : named) arguments.named.emplace_back(name, value->evaluate(run));
  if (star) {
    const Value list = star->evaluate(run);
    Value keep;
    for (const Value& item : iterate(run, list, keep)) arguments.positional.push_back(item);
  }
  if (star_star) {
    const Value value = star_star->evaluate(run);
    const Dict* dict = value.dict();
    if (!dict) run.fail("** needs a dict, not {}", describe(value));
    for (const auto& [key, item] : dict->entries)
      arguments.named.emplace_back(to_utf8(need_text(run, key, "the name of an argument")), item);
  }
  return arguments;
}

Value Run::call(const Value& callee, Arguments& arguments) {
  if (const Callable* callable = callee.object<const Callable>())
    return apply(*this, *callable->row, callable->self, arguments);
  if (const Macro* macro = callee.object<const Macro>()) {
    const Value keep = callee;
    return macro->statement->call(*this, *macro, arguments);
  }
  if (const Loop* loop = callee.object<Loop>(); loop && loop->statement->recursive) {
    if (arguments.positional.size() != 1 || !arguments.named.empty()) fail("loop(...) needs what to loop over");
    const Value keep = callee;
    const std::shared_ptr<Scope> saved = std::exchange(here, loop->outside);
    TextBuilder captured(*this), *outside = std::exchange(out, &captured);
    loop->statement->loop_over(*this, arguments.positional[0], loop->depth0 + 1);
    out = outside;
    here = saved;
    return text(captured.take());
  }
  fail("{} cannot be called", describe(callee));
}

Value Call::compute(Run& run) const {
  const Value function = callee->evaluate(run);
  Arguments given = arguments.evaluate(run);
  run.at = at;
  return run.call(function, given);
}

Value FilterCall::compute(Run& run) const { return filter(run, input->evaluate(run)); }

Value FilterCall::filter(Run& run, const Value& value) const {
  Arguments given = arguments.evaluate(run);
  run.at = at;
  if (!row || !row->call)
    run.fail("filter '{}' is not {}; supported are {}", name, row ? "supported" : "known", known_filters());
  return apply(run, *row, value, given);
}

Value TestCall::compute(Run& run) const {
  const Value value = input->evaluate(run);
  Arguments given = arguments.evaluate(run);
  run.at = at;
  if (!row || !row->call)
    run.fail("test '{}' is not {}; supported are {}", name, row ? "supported" : "known", known_tests());
  return truth(run, apply(run, *row, value, given)) != negated;
}

Value Binary::compute(Run& run) const {
  const Value a = left->evaluate(run), b = right->evaluate(run);
  run.at = at;
  return op->apply(run, a, b);
}

Value Negative::compute(Run& run) const {
  const Value value = operand->evaluate(run);
  run.at = at;
  const Value negative = negate(run, value);
  return plus ? negate(run, negative) : negative;
}

Value Not::compute(Run& run) const { return !truth(run, operand->evaluate(run)); }

Value AndOr::compute(Run& run) const {
  Value value = left->evaluate(run);
  return truth(run, value) == is_and ? right->evaluate(run) : value;
}

namespace {

struct Comparator {
  std::string_view sign;
  bool (*holds)(Run& run, const Value& a, const Value& b);
};
constexpr Comparator kComparators[] = {
    {"==", [](Run& run, const Value& a, const Value& b) { return equal(run, a, b); }},
    {"!=", [](Run& run, const Value& a, const Value& b) { return !equal(run, a, b); }},
    {"<", [](Run& run, const Value& a, const Value& b) { return order(run, a, b, "<") < 0; }},
    {"<=", [](Run& run, const Value& a, const Value& b) { return order(run, a, b, "<=") <= 0; }},
    {">", [](Run& run, const Value& a, const Value& b) { return order(run, a, b, ">") > 0; }},
    {">=", [](Run& run, const Value& a, const Value& b) { return order(run, a, b, ">=") >= 0; }},
    {"in", [](Run& run, const Value& a, const Value& b) { return contains(run, b, a); }},
    {"not in", [](Run& run, const Value& a, const Value& b) { return !contains(run, b, a); }},
};

}  // namespace

Value Comparison::compute(Run& run) const {
  Value left = first->evaluate(run);
  for (const auto& [sign, expression] : rest) {
    Value right = expression->evaluate(run);
    run.at = at;
    for (const Comparator& row : kComparators)
      if (row.sign == sign && !row.holds(run, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Concatenation::compute(Run& run) const {
  TextBuilder out(run);
  for (const ExpressionPointer& part : parts) {
    const Value value = part->evaluate(run);
    run.at = at;
    print(out, value);
  }
  return run.text(out.take());
}

Value Conditional::compute(Run& run) const {
  if (truth(run, condition->evaluate(run))) return then->evaluate(run);
  if (otherwise) return otherwise->evaluate(run);
  return Undefined{};
}

}  // namespace bitkerf::jinja
