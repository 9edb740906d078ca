// The functions that a template can call: Jinja's, and the two that `transformers` adds.
#include <ctime>

#include "files/jinja/python.h"

namespace bitkerf::jinja {
namespace {

Value range(Run& run, const Value&, const Given& given) {
  constexpr i64 kMaximum = 100000;  // as Jinja's sandbox has it
  const i64 a = need_integer(run, *given[0], "an argument of range");
  const i64 from = given[1] ? a : 0, to = given[1] ? need_integer(run, *given[1], "an argument of range") : a;
  const i64 step = given[2] ? need_integer(run, *given[2], "an argument of range") : 1;
  if (step == 0) run.fail("the step of range cannot be 0");
  std::vector<Value> items;
  for (i64 i = from; step > 0 ? i < to : i > to;) {
    if (static_cast<i64>(items.size()) >= kMaximum) run.fail("a range has more than {} items", kMaximum);
    items.push_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return run.sequence(kRange, std::move(items));
}

std::vector<std::pair<Value, Value>> entries_of(Run& run, const Given& given) {
  std::vector<std::pair<Value, Value>> entries;
  if (given.all->positional.size() > 1) run.fail("dict() and namespace() take one dict and named values");
  for (const Value& base : given.all->positional) {
    if (!base.dict()) run.fail("dict() and namespace() take a dict, not {}", describe(base));
    entries = base.dict()->entries;
  }
  for (const auto& [name, value] : given.all->named) insert(run, entries, run.text(std::string_view(name)), value);
  return entries;
}

Value new_dict(Run& run, const Value&, const Given& given) { return run.dict(entries_of(run, given)); }

Value new_namespace(Run& run, const Value&, const Given& given) {
  Value space = run.new_namespace();
  auto& attributes = std::get<std::shared_ptr<Namespace>>(space.any())->attributes;
  for (auto& [name, value] : entries_of(run, given))
    attributes.emplace_back(to_utf8(need_text(run, name, "the name of an attribute")), value);
  return space;
}

Value raise_exception(Run& run, const Value&, const Given& given) {
  TextBuilder message(run);
  print(message, *given[0]);
  fail(Fault::usage, "the model's chat template refuses the messages: {}", to_utf8(message.text()));
}

Value now_as_text(Run& run, const Value&, const Given& given) {
  const std::string format = to_utf8(need_text(run, *given[0], "the format of strftime_now"));
  std::tm local{};
  localtime_r(&run.now, &local);
  std::string text;
  for (std::size_t i = 0; i < format.size(); i++) {
    if (format[i] != '%') {
      text += format[i];
      continue;
    }
    std::string one = "%";
    i++;
    if (i < format.size() && format[i] == '-') one += format[i++];  // glibc's "no leading zero"
    if (i >= format.size() || std::string_view("aAbBcdeDFgGhHIjklmMnpPrRStTuUVwWxXyY%").find(format[i]) == std::string_view::npos)
      run.fail("the date format '{}' is not supported", format);
    one += format[i];
    char buffer[128];
    text.append(buffer, std::strftime(buffer, sizeof buffer, one.c_str(), &local));
  }
  return run.text(std::string_view(text));
}

constexpr Row kFunctions[] = {
    {"range", "start stop? step?", range},
    {"namespace", "*", new_namespace},
    {"dict", "*", new_dict},
    {"raise_exception", "message", raise_exception},
    {"strftime_now", "format", now_as_text},
    {"cycler", "*", nullptr},
    {"joiner", "*", nullptr},
    {"lipsum", "*", nullptr},
};

}  // namespace

const Row* find_function(std::string_view name) {
  for (const Row& row : kFunctions)
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace bitkerf::jinja
