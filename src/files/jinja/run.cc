#include "files/jinja/run.h"

#include <algorithm>

#include "files/jinja/python.h"

namespace bitkerf::jinja {

// Namespaces and scopes may refer to each other in circles; emptying them all breaks these.
Run::~Run() {
  here.reset();
  for (const std::shared_ptr<Namespace>& space : namespaces_) space->attributes.clear();
  for (const std::shared_ptr<Scope>& scope : kept_scopes_) {
    scope->variables.clear();
    scope->parent.reset();
  }
}

Value Run::text(Text text, bool markup) {
  const std::size_t bytes = sizeof(TextObject) + 16 + 4 * text.size();
  need(bytes);
  return std::shared_ptr<const TextObject>(
      new TextObject{std::move(text), markup, Charge(&budget, static_cast<i64>(bytes))});
}

namespace {
int depth_of(const Value& value) {
  if (const Sequence* sequence = value.sequence()) return sequence->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  if (const Callable* callable = value.object<const Callable>()) return depth_of(callable->self) + 1;
  return 0;
}
}  // namespace

Value Run::sequence(const SequenceKind& kind, std::vector<Value> items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  if (depth >= kMaximumNesting) fail("lists within lists, more than {} deep", kMaximumNesting);
  const std::size_t bytes = sizeof(Sequence) + 16 + items.capacity() * sizeof(Value);
  need(bytes);
  spend_characters(items.size());
  return std::shared_ptr<const Sequence>(
      new Sequence{&kind, std::move(items), depth + 1, false, Charge(&budget, static_cast<i64>(bytes))});
}

Value Run::dict(std::vector<std::pair<Value, Value>> entries) {
  int depth = 0;
  for (const auto& [key, value] : entries) depth = std::max({depth, depth_of(key), depth_of(value)});
  if (depth >= kMaximumNesting) fail("dicts within dicts, more than {} deep", kMaximumNesting);
  const std::size_t bytes = sizeof(Dict) + 16 + entries.capacity() * 2 * sizeof(Value);
  need(bytes);
  return std::shared_ptr<const Dict>(
      new Dict{std::move(entries), depth + 1, Charge(&budget, static_cast<i64>(bytes))});
}

Value Run::new_namespace() {
  constexpr std::size_t kBytes = 1024;  // attributes are few; their values charge for themselves
  need(kBytes);
  namespaces_.push_back(std::shared_ptr<Namespace>(new Namespace{{}, Charge(&budget, kBytes)}));
  return namespaces_.back();
}

std::shared_ptr<Scope> Run::scope(std::shared_ptr<Scope> parent) {
  constexpr std::size_t kBytes = 512;
  need(kBytes);
  return std::shared_ptr<Scope>(new Scope{std::move(parent), {}, Charge(&budget, kBytes)});
}

Given bind(Run& run, const Row& row, Arguments& arguments) {
  Given given;
  given.all = &arguments;
  std::size_t used = 0, used_named = 0;
  std::string_view rest = row.parameters;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    std::string_view name = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (name == "*") return given;
    const bool optional = name.back() == '?';
    if (optional) name.remove_suffix(1);
    const Value* value = nullptr;
    if (used < arguments.positional.size()) value = &arguments.positional[used++];
    for (const auto& [key, named] : arguments.named) {
      if (key != name) continue;
      if (value) run.fail("{}() got two values for '{}'", row.name, name);
      value = &named;
      used_named++;
    }
    if (!value && !optional) run.fail("{}() needs the argument '{}'", row.name, name);
    given.values.push_back(value);
  }
  if (used < arguments.positional.size() || used_named < arguments.named.size())
    run.fail("{}() got more arguments than it knows ({})", row.name, row.parameters);
  return given;
}

Value apply(Run& run, const Row& row, const Value& self, Arguments& arguments) {
  if (!row.call) run.fail("'{}' is not supported", row.name);
  return row.call(run, self, bind(run, row, arguments));
}

}  // namespace bitkerf::jinja
