// Items, attributes, slices and membership.
#include <algorithm>

#include "files/jinja/loop.h"
#include "files/jinja/python.h"

namespace bitkerf::jinja {

std::span<const Value> iterate(Run& run, const Value& value, Value& keep) {
  if (value.is_undefined()) return {};
  keep = value;
  if (const Dict* dict = value.dict()) {
    std::vector<Value> keys;
    for (const auto& [key, item] : dict->entries) keys.push_back(key);
    keep = run.list(std::move(keys));
  } else if (const Text* text = value.text()) {
    std::vector<Value> characters;
    for (char32_t c : *text) characters.push_back(run.text(Text(1, c)));
    keep = run.list(std::move(characters));
  } else if (!value.sequence()) {
    run.fail("{} cannot be iterated", describe(value));
  }
  const Sequence& sequence = *keep.sequence();
  if (sequence.kind == &kGenerator && std::exchange(sequence.consumed, true)) return {};
  return sequence.items;
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.dict() || value.text() || value.sequence() || value.object<Loop>();
}

i64 length(Run& run, const Value& value) {
  if (value.is_undefined()) return 0;
  if (const Text* text = value.text()) return static_cast<i64>(text->size());
  if (const Dict* dict = value.dict()) return static_cast<i64>(dict->entries.size());
  if (const Sequence* sequence = value.sequence(); sequence && sequence->kind->sized)
    return static_cast<i64>(sequence->items.size());
  if (const Loop* loop = value.object<Loop>()) return static_cast<i64>(loop->items.size());
  run.fail("{} has no length", describe(value));
}

const Value* find(Run& run, const Dict& dict, const Value& key) {
  run.spend_characters(dict.entries.size());
  for (const auto& [name, value] : dict.entries)
    if (equal(run, name, key)) return &value;
  return nullptr;
}

void insert(Run& run, std::vector<std::pair<Value, Value>>& entries, Value key, Value value) {
  if (key.dict() || (key.sequence() && key.sequence()->kind != &kTuple))
    run.fail("{} cannot be a key", describe(key));
  for (auto& [name, old] : entries) {
    if (!equal(run, name, key)) continue;
    old = std::move(value);
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
}

bool contains(Run& run, const Value& container, const Value& value) {
  if (const Text* text = container.text()) {
    const Text& needle = need_text(run, value, "the left side of 'in' with a string on the right");
    run.spend_characters(text->size() + needle.size());
    return find(*text, needle) != kNowhere;
  }
  if (const Dict* dict = container.dict()) {
    if (value.dict() || (value.sequence() && value.sequence()->kind != &kTuple))
      run.fail("{} cannot be a key", describe(value));
    return find(run, *dict, value);
  }
  Value keep;
  for (const Value& item : iterate(run, container, keep))
    if (equal(run, item, value)) return true;
  return false;
}

namespace {

// Attributes of loop: a row each.
struct LoopAttribute {
  std::string_view name;
  Value (*get)(Run& run, const Loop& loop);
};
i64 count(const Loop& loop) { return static_cast<i64>(loop.items.size()); }
constexpr LoopAttribute kLoopAttributes[] = {
    {"index", [](Run&, const Loop& loop) -> Value { return loop.index + 1; }},
    {"index0", [](Run&, const Loop& loop) -> Value { return loop.index; }},
    {"revindex", [](Run&, const Loop& loop) -> Value { return count(loop) - loop.index; }},
    {"revindex0", [](Run&, const Loop& loop) -> Value { return count(loop) - loop.index - 1; }},
    {"first", [](Run&, const Loop& loop) -> Value { return loop.index == 0; }},
    {"last", [](Run&, const Loop& loop) -> Value { return loop.index + 1 == count(loop); }},
    {"length", [](Run&, const Loop& loop) -> Value { return count(loop); }},
    {"depth", [](Run&, const Loop& loop) -> Value { return loop.depth0 + 1; }},
    {"depth0", [](Run&, const Loop& loop) -> Value { return loop.depth0; }},
    {"previtem", [](Run&, const Loop& loop) -> Value {
       return loop.index > 0 ? loop.items[static_cast<std::size_t>(loop.index - 1)] : Value();
     }},
    {"nextitem", [](Run&, const Loop& loop) -> Value {
       return loop.index + 1 < count(loop) ? loop.items[static_cast<std::size_t>(loop.index + 1)] : Value();
     }},
};

}  // namespace

Value attribute(Run& run, const Value& object, const std::string& name) {
  if (object.is_undefined()) run.fail("attribute '{}' of {}", name, describe(object));
  if (const Namespace* space = object.object<Namespace>()) {
    for (const auto& [key, value] : space->attributes)
      if (key == name) return value;
    return Undefined{&name};
  }
  if (const Loop* loop = object.object<Loop>()) {
    for (const LoopAttribute& row : kLoopAttributes)
      if (row.name == name) return row.get(run, *loop);
  }
  // A method hides an entry of the same name: `d.items` is the method even where d has a key "items".
  if (const Row* method = find_method(object, name)) {
    if (!method->call) run.fail("method '{}' of {} is not supported", name, describe(object));
    return std::make_shared<const Callable>(Callable{method, object});
  }
  if (const Macro* macro = object.object<const Macro>(); macro && name == "name") return macro_name(run, *macro);
  if (const Dict* dict = object.dict()) {
    run.spend_characters(dict->entries.size());
    const Text key = from_utf8(name);
    for (const auto& [entry, value] : dict->entries)
      if (entry.text() && *entry.text() == key) return value;
  }
  return Undefined{&name};
}

Value subscript(Run& run, const Value& object, const Value& key) {
  if (object.is_undefined()) run.fail("element of {}", describe(object));
  if (const Dict* dict = object.dict()) {
    if (const Value* value = find(run, *dict, key)) return *value;
  } else if (const std::optional<i64> index = as_integer(key)) {
    const Text* text = object.text();
    const Sequence* sequence = object.sequence();
    if (!text && !(sequence && sequence->kind->indexed)) return Undefined{};
    const i64 size = length(run, object);
    const i64 place = *index < 0 ? *index + size : *index;
    if (place < 0 || place >= size) return Undefined{};
    const auto i = static_cast<std::size_t>(place);
    return text ? run.text(Text(1, (*text)[i])) : sequence->items[i];
  }
  // Only methods are left: "abc"['upper'].
  const Text* name = key.text();
  if (!name || name->size() > 100) return Undefined{};
  const std::string ascii = to_utf8(*name);
  if (const Loop* loop = object.object<Loop>()) {
    for (const LoopAttribute& row : kLoopAttributes)
      if (row.name == ascii) return row.get(run, *loop);
  }
  if (const Namespace* space = object.object<Namespace>()) {
    for (const auto& [attribute_name, value] : space->attributes)
      if (attribute_name == ascii) return value;
  }
  const Row* method = find_method(object, ascii);
  if (!method) return Undefined{};
  if (!method->call) run.fail("method '{}' of {} is not supported", ascii, describe(object));
  return std::make_shared<const Callable>(Callable{method, object});
}

Value slice(Run& run, const Value& object, const Value* first, const Value* last, const Value* step) {
  if (object.is_undefined()) run.fail("slice of {}", describe(object));
  const Text* text = object.text();
  const Sequence* sequence = object.sequence();
  if (!text && !(sequence && sequence->kind->indexed)) run.fail("{} has no slices", describe(object));
  const i64 size = length(run, object);
  const auto bound = [&](const Value* value, i64 otherwise) {
    return !value || value->is_none() ? otherwise : need_integer(run, *value, "a bound of a slice");
  };
  const i64 by = bound(step, 1);
  if (by == 0) run.fail("the step of a slice cannot be 0");
  const bool forward = by > 0;
  const i64 from = bound(first, forward ? 0 : size - 1), to = bound(last, forward ? size : -size - 1);
  // As PySlice_AdjustIndices: negative bounds count from the end, then everything is clamped.
  const auto clamp = [&](i64 i) {
    if (i < 0) i = std::max<i64>(i + size, forward ? 0 : -1);
    return std::min(i, forward ? size : size - 1);
  };
  const i64 begin = clamp(from), end = clamp(to);
  run.spend_characters(static_cast<std::size_t>(size));
  if (text) {
    if (by == 1) return run.text(Text(text->substr(static_cast<std::size_t>(std::min(begin, end)),
                                                    static_cast<std::size_t>(std::max<i64>(end - begin, 0)))),
                                  object.is_markup());
    TextBuilder out(run);
    for (i64 i = begin; forward ? i < end : i > end;) {
      out.add((*text)[static_cast<std::size_t>(i)]);
      if (__builtin_add_overflow(i, by, &i)) break;
    }
    return run.text(out.take(), object.is_markup());
  }
  std::vector<Value> items;
  for (i64 i = begin; forward ? i < end : i > end;) {
    items.push_back(sequence->items[static_cast<std::size_t>(i)]);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  return run.sequence(*sequence->kind, std::move(items));
}

}  // namespace bitkerf::jinja
