#include "files/jinja/loop.h"
#include "files/jinja/syntax.h"

namespace bitkerf::jinja {
namespace {

// A new innermost scope for the time of a block. An exception ends the run, so nothing needs to be put back then.
class Inside {
 public:
  explicit Inside(Run& run, std::shared_ptr<Scope> parent) : run_(run), saved_(run.here) {
    run.here = run.scope(std::move(parent));
  }
  ~Inside() { run_.here = saved_; }

 private:
  Run& run_;
  std::shared_ptr<Scope> saved_;
};

void define(Run& run, const std::string& name, Value value) {
  run.spend(static_cast<i64>(run.here->variables.size() / 16));
  for (auto& [variable, old] : run.here->variables) {
    if (*variable != name) continue;
    old = std::move(value);
    return;
  }
  run.need(sizeof(Value) * 2);
  run.here->variables.emplace_back(&name, std::move(value));
}

// What the block writes.
Value capture(Run& run, const Block& block) {
  TextBuilder captured(run), *outside = std::exchange(run.out, &captured);
  execute(run, block);
  run.out = outside;
  return run.text(captured.take());
}

Value through(Run& run, const std::vector<std::unique_ptr<const FilterCall>>& filters, Value value) {
  for (const std::unique_ptr<const FilterCall>& filter : filters) value = filter->filter(run, value);
  return value;
}

const std::string kLoop = "loop", kCaller = "caller", kVarargs = "varargs", kKwargs = "kwargs";

}  // namespace

Flow execute(Run& run, const Block& block) {
  for (const std::unique_ptr<const Statement>& statement : block) {
    const Flow flow = statement->execute(run);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

void Target::assign(Run& run, const Value& value) const {
  run.at = at;
  if (!parts.empty()) {
    Value keep;
    const std::span<const Value> items = iterate(run, value, keep);
    if (items.size() != parts.size()) run.fail("{} values for {} names", items.size(), parts.size());
    for (std::size_t i = 0; i < parts.size(); i++) parts[i].assign(run, items[i]);
    return;
  }
  if (attribute.empty()) return define(run, name, value);
  const Value object = Name(at, name).evaluate(run);
  const std::shared_ptr<Namespace>* space = std::get_if<std::shared_ptr<Namespace>>(&object.any());
  if (!space) run.fail("'{}' is not a namespace: its attribute '{}' cannot be set", name, attribute);
  for (auto& [key, old] : (*space)->attributes) {
    if (key != attribute) continue;
    old = value;
    return;
  }
  run.spend(static_cast<i64>((*space)->attributes.size() / 16));
  run.need(2 * sizeof(Value));
  (*space)->attributes.emplace_back(attribute, value);
}

Flow DataStatement::perform(Run& run) const {
  run.out->add(text);
  return Flow::on;
}

Flow OutputStatement::perform(Run& run) const {
  const Value result = value->evaluate(run);
  run.at = at;
  print(*run.out, result);
  return Flow::on;
}

Flow SetStatement::perform(Run& run) const {
  if (value) {
    target.assign(run, value->evaluate(run));
    return Flow::on;
  }
  Value text;
  {
    Inside inside(run, run.here);
    text = through(run, filters, capture(run, body));
  }
  target.assign(run, text);
  return Flow::on;
}

Flow IfStatement::perform(Run& run) const {
  for (const auto& [condition, block] : branches)
    if (truth(run, condition->evaluate(run))) return jinja::execute(run, block);
  return jinja::execute(run, otherwise);
}

Flow ForStatement::perform(Run& run) const { return loop_over(run, items->evaluate(run), 0); }

Flow ForStatement::loop_over(Run& run, const Value& over, i64 depth0) const {
  run.at = at;
  const auto loop = std::make_shared<Loop>();
  const std::shared_ptr<Scope> outside = run.here;
  loop->items = iterate(run, over, loop->keep);
  if (condition) {
    std::vector<Value> chosen;
    for (const Value& item : loop->items) {
      Inside inside(run, outside);
      target.assign(run, item);
      if (truth(run, condition->evaluate(run))) chosen.push_back(item);
    }
    loop->keep = run.list(std::move(chosen));
    loop->items = loop->keep.sequence()->items;
  }
  loop->depth0 = depth0;
  loop->statement = this;
  loop->outside = outside;
  for (loop->index = 0; loop->index < static_cast<i64>(loop->items.size()); loop->index++) {
    run.spend(3);  // a scope is made each time
    Inside inside(run, outside);
    define(run, kLoop, loop);
    target.assign(run, loop->items[static_cast<std::size_t>(loop->index)]);
    if (jinja::execute(run, body) == Flow::stop) break;
  }
  if (loop->items.empty()) {
    Inside inside(run, outside);
    return jinja::execute(run, otherwise);
  }
  return Flow::on;
}

Flow MacroStatement::perform(Run& run) const {
  run.keep(run.here);
  define(run, name, std::make_shared<const Macro>(Macro{this, run.here}));
  return Flow::on;
}

Value macro_name(Run& run, const Macro& macro) { return run.text(std::string_view(macro.statement->name)); }

Value MacroStatement::call(Run& run, const Macro& macro, Arguments& arguments) const {
  Deeper deeper(run, run.at);
  Inside inside(run, macro.scope);
  std::vector<bool> used(arguments.named.size(), false);
  for (std::size_t i = 0; i < parameters.size(); i++) {
    Value value = Undefined{&parameters[i].name};
    bool given = i < arguments.positional.size();
    if (given) value = arguments.positional[i];
    for (std::size_t k = 0; k < arguments.named.size(); k++) {
      if (arguments.named[k].first != parameters[i].name) continue;
      if (given) run.fail("macro '{}' got two values for '{}'", name, parameters[i].name);
      value = arguments.named[k].second;
      used[k] = given = true;
    }
    if (!given && parameters[i].otherwise) value = parameters[i].otherwise->evaluate(run);
    define(run, parameters[i].name, value);
  }
  std::vector<Value> more;
  for (std::size_t i = parameters.size(); i < arguments.positional.size(); i++) more.push_back(arguments.positional[i]);
  if (!more.empty() && !uses_varargs) run.fail("macro '{}' takes {} arguments", name, parameters.size());
  std::vector<std::pair<Value, Value>> named;
  Value caller = Undefined{&kCaller};
  for (std::size_t k = 0; k < arguments.named.size(); k++) {
    if (used[k]) continue;
    if (arguments.named[k].first == kCaller && uses_caller) caller = arguments.named[k].second;
    else if (!uses_kwargs) run.fail("macro '{}' has no argument '{}'", name, arguments.named[k].first);
    else insert(run, named, run.text(std::string_view(arguments.named[k].first)), arguments.named[k].second);
  }
  if (uses_caller) define(run, kCaller, caller);
  if (uses_varargs) define(run, kVarargs, run.sequence(kTuple, std::move(more)));
  if (uses_kwargs) define(run, kKwargs, run.dict(std::move(named)));
  return capture(run, body);
}

Flow CallStatement::perform(Run& run) const {
  const Value function = call->callee->evaluate(run);
  Arguments arguments = call->arguments.evaluate(run);
  arguments.named.emplace_back(kCaller, std::make_shared<const Macro>(Macro{&caller, run.here}));
  run.keep(run.here);
  run.at = at;
  print(*run.out, run.call(function, arguments));
  return Flow::on;
}

Flow FilterStatement::perform(Run& run) const {
  Inside inside(run, run.here);
  print(*run.out, through(run, filters, capture(run, body)));
  return Flow::on;
}

Flow WithStatement::perform(Run& run) const {
  // The values are computed outside of the new scope, all before the first is assigned.
  std::vector<Value> values;
  for (const auto& [target, value] : assignments) values.push_back(value->evaluate(run));
  Inside inside(run, run.here);
  for (std::size_t i = 0; i < values.size(); i++) assignments[i].first.assign(run, values[i]);
  return jinja::execute(run, body);
}

Flow GenerationStatement::perform(Run& run) const {
  Inside inside(run, run.here);
  print(*run.out, capture(run, body));
  return Flow::on;
}

}  // namespace bitkerf::jinja
