#include <algorithm>

#include "files/jinja/filters.h"

namespace bitkerf::jinja {
namespace {

bool flag(Run& run, const Value* value) { return value && truth(run, *value); }

// The attribute "a.b" or 0 of an item, as map(attribute=...) and its kin look it up; nullptr and None: the item.
Value part_of(Run& run, const Value& item, const Value* path, const Value* otherwise = nullptr) {
  if (!path || path->is_none()) return item;
  if (!path->text()) return subscript(run, item, *path);
  Value value = item;
  TextView rest = *path->text();
  for (;;) {
    const std::size_t dot = std::min(rest.find(U'.'), rest.size());
    const TextView part = rest.substr(0, dot);
    const bool number = !part.empty() && part.size() < 18 && std::all_of(part.begin(), part.end(), is_digit);
    value = subscript(run, value, number ? Value(static_cast<i64>(std::stoll(to_utf8(part)))) : run.text(part));
    if (otherwise && !otherwise->is_none() && value.is_undefined()) value = *otherwise;
    if (dot == rest.size()) return value;
    rest.remove_prefix(dot + 1);
  }
}

Value key_of(Run& run, const Value& item, const Value* path, bool case_sensitive) {
  Value key = part_of(run, item, path);
  return key.text() && !case_sensitive ? run.text(lower(*key.text())) : key;
}

Value sorted(Run& run, std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? order(run, b.first, a.first, "<") < 0 : order(run, a.first, b.first, "<") < 0;
  });
  std::vector<Value> items;
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return run.list(std::move(items));
}

const Value* named(const Given& given, std::string_view name) {
  for (const auto& [key, value] : given.all->named)
    if (key == name) return &value;
  return nullptr;
}

// select, reject and their kin: the test's name and arguments come after the attribute.
Value choose(Run& run, const Value& value, const Given& given, bool wanted, bool by_attribute) {
  const std::vector<Value>& arguments = given.all->positional;
  const std::size_t skip = by_attribute ? 1 : 0;
  if (arguments.size() < skip) run.fail("the name of an attribute is missing");
  const Row* test = nullptr;
  Arguments rest;
  if (arguments.size() > skip) {
    const std::string name = to_utf8(need_text(run, arguments[skip], "the name of a test"));
    test = find_test(name);
    if (!test || !test->call) run.fail("test '{}' is not supported; supported are {}", name, known_tests());
    rest.positional.assign(arguments.begin() + static_cast<std::ptrdiff_t>(skip) + 1, arguments.end());
    rest.named = given.all->named;
  }
  std::vector<Value> chosen;
  Value keep;
  if (truth(run, value)) {
    for (const Value& item : iterate(run, value, keep)) {
      const Value part = by_attribute ? part_of(run, item, &arguments[0]) : item;
      run.spend(1);
      if (truth(run, test ? apply(run, *test, part, rest) : part) == wanted) chosen.push_back(item);
    }
  }
  return run.sequence(kGenerator, std::move(chosen));
}

Value extreme(Run& run, const Value& value, const Given& given, bool smallest) {
  Value best, best_key, keep;
  bool any = false;
  for (const Value& item : iterate(run, value, keep)) {
    const Value key = key_of(run, item, given[1], flag(run, given[0]));
    if (any && (smallest ? order(run, key, best_key, "<") >= 0 : order(run, key, best_key, ">") <= 0)) continue;
    best = item;
    best_key = key;
    any = true;
  }
  return best;
}

}  // namespace

Value filter_length(Run& run, const Value& value, const Given&) { return length(run, value); }

Value filter_join(Run& run, const Value& value, const Given& given) {
  TextBuilder out(run);
  Value keep;
  bool first = true;
  for (const Value& item : iterate(run, value, keep)) {
    if (!first && given[0]) print(out, *given[0]);
    first = false;
    print(out, part_of(run, item, given[1]));
  }
  return run.text(out.take());
}

Value filter_items(Run& run, const Value& value, const Given&) {
  std::vector<Value> items;
  if (!value.is_undefined() && !value.dict()) run.fail("items needs a dict, not {}", describe(value));
  if (const Dict* dict = value.dict())
    for (const auto& [key, item] : dict->entries) items.push_back(run.sequence(kTuple, {key, item}));
  return run.sequence(kGenerator, std::move(items));
}

Value filter_dictsort(Run& run, const Value& value, const Given& given) {
  const Dict* dict = value.dict();
  if (!dict) run.fail("dictsort needs a dict, not {}", describe(value));
  const std::string by = given[1] ? to_utf8(need_text(run, *given[1], "the argument 'by' of dictsort")) : "key";
  if (by != "key" && by != "value") run.fail("dictsort sorts by 'key' or 'value'");
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, item] : dict->entries)
    keyed.emplace_back(key_of(run, by == "key" ? key : item, nullptr, flag(run, given[0])),
                       run.sequence(kTuple, {key, item}));
  return sorted(run, std::move(keyed), flag(run, given[2]));
}

Value filter_list(Run& run, const Value& value, const Given&) {
  Value keep;
  const std::span<const Value> items = iterate(run, value, keep);
  return run.list(std::vector<Value>(items.begin(), items.end()));
}

Value filter_first(Run& run, const Value& value, const Given&) {
  Value keep;
  const std::span<const Value> items = iterate(run, value, keep);
  return items.empty() ? Value() : items.front();
}

Value filter_last(Run& run, const Value& value, const Given&) {
  if (value.sequence() && value.sequence()->kind == &kGenerator) run.fail("a generator has no last item");
  Value keep;
  const std::span<const Value> items = iterate(run, value, keep);
  return items.empty() ? Value() : items.back();
}

Value filter_map(Run& run, const Value& value, const Given& given) {
  Arguments& arguments = *given.all;
  const Value* path = arguments.positional.empty() ? named(given, "attribute") : nullptr;
  const Row* filter = nullptr;
  Arguments rest;
  if (!path) {
    if (arguments.positional.empty()) run.fail("map needs the name of a filter, or attribute=");
    const std::string name = to_utf8(need_text(run, arguments.positional[0], "the name of a filter"));
    filter = find_filter(name);
    if (!filter || !filter->call) run.fail("filter '{}' is not supported; supported are {}", name, known_filters());
    rest.positional.assign(arguments.positional.begin() + 1, arguments.positional.end());
    rest.named = arguments.named;
  }
  std::vector<Value> results;
  Value keep;
  if (truth(run, value)) {
    for (const Value& item : iterate(run, value, keep)) {
      Deeper deeper(run, run.at);
      results.push_back(filter ? apply(run, *filter, item, rest) : part_of(run, item, path, named(given, "default")));
    }
  }
  return run.sequence(kGenerator, std::move(results));
}

Value filter_select(Run& run, const Value& value, const Given& given) { return choose(run, value, given, true, false); }
Value filter_reject(Run& run, const Value& value, const Given& given) { return choose(run, value, given, false, false); }
Value filter_selectattr(Run& run, const Value& value, const Given& given) { return choose(run, value, given, true, true); }
Value filter_rejectattr(Run& run, const Value& value, const Given& given) { return choose(run, value, given, false, true); }

Value filter_sort(Run& run, const Value& value, const Given& given) {
  if (given[2] && given[2]->text() && given[2]->text()->find(U',') != kNowhere)
    run.fail("sort by several attributes is not supported");
  std::vector<std::pair<Value, Value>> keyed;
  Value keep;
  for (const Value& item : iterate(run, value, keep))
    keyed.emplace_back(key_of(run, item, given[2], flag(run, given[1])), item);
  return sorted(run, std::move(keyed), flag(run, given[0]));
}

Value filter_unique(Run& run, const Value& value, const Given& given) {
  std::vector<Value> keys, items;
  Value keep;
  for (const Value& item : iterate(run, value, keep)) {
    Value key = key_of(run, item, given[1], flag(run, given[0]));
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& other) { return equal(run, other, key); })) continue;
    keys.push_back(std::move(key));
    items.push_back(item);
  }
  return run.sequence(kGenerator, std::move(items));
}

Value filter_min(Run& run, const Value& value, const Given& given) { return extreme(run, value, given, true); }
Value filter_max(Run& run, const Value& value, const Given& given) { return extreme(run, value, given, false); }

Value filter_sum(Run& run, const Value& value, const Given& given) {
  Value total = given[1] ? *given[1] : Value(i64{0}), keep;
  if (total.text()) run.fail("sum does not add strings");
  for (const Value& item : iterate(run, value, keep)) total = add(run, total, part_of(run, item, given[0]));
  return total;
}

Value filter_reverse(Run& run, const Value& value, const Given&) {
  if (const Text* text = value.text()) return run.text(Text(text->rbegin(), text->rend()));
  if (value.sequence() && value.sequence()->kind == &kGenerator) {
    const Value items = filter_list(run, value, {});
    return run.list(std::vector<Value>(items.sequence()->items.rbegin(), items.sequence()->items.rend()));
  }
  Value keep;
  const std::span<const Value> items = iterate(run, value, keep);
  return run.sequence(kGenerator, std::vector<Value>(items.rbegin(), items.rend()));
}

Value filter_batch(Run& run, const Value& value, const Given& given) {
  const i64 count = need_integer(run, *given[0], "the size of a batch");
  std::vector<Value> batches, batch;
  Value keep;
  for (const Value& item : iterate(run, value, keep)) {
    if (!batch.empty() && static_cast<i64>(batch.size()) == count) batches.push_back(run.list(std::exchange(batch, {})));
    batch.push_back(item);
  }
  if (!batch.empty()) {
    for (i64 i = static_cast<i64>(batch.size()); given[1] && !given[1]->is_none() && i < count; i++) {
      run.spend(1);
      run.need((batch.size() + 1) * sizeof(Value));
      batch.push_back(*given[1]);
    }
    batches.push_back(run.list(std::move(batch)));
  }
  return run.sequence(kGenerator, std::move(batches));
}

}  // namespace bitkerf::jinja
