// The values that a template works with: Python's, as far as templates can tell the difference. Objects are shared and
// never change, except namespaces; so there are no cycles but through namespaces and scopes, which a Run owns.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "files/jinja/text.h"

namespace bitkerf::jinja {

class Run;
class Value;
struct Row;
struct Macro;
struct Loop;

// What a run may use up. Exceeding a limit is Fault::file, as only a damaged or hostile template gets there.
struct Budget {
  i64 steps_left = 0;   // nodes evaluated, and characters handled, 16 a step
  i64 bytes_left = 0;   // of values alive at one time
};

// Bytes that an object takes from the budget as long as it lives.
class Charge {
 public:
  Charge() = default;
  Charge(Budget* budget, i64 bytes) : budget_(budget), bytes_(bytes) { budget_->bytes_left -= bytes_; }
  Charge(Charge&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
  Charge& operator=(Charge&&) = delete;
  ~Charge() { if (budget_) budget_->bytes_left += bytes_; }

 private:
  Budget* budget_ = nullptr;
  i64 bytes_ = 0;
};

struct Undefined { const std::string* name = nullptr; };  // what was looked up; nullptr: an element
struct None {};
struct TextObject {
  Text text;
  bool markup;  // came through `safe`: adding to it escapes the other side, as markupsafe does
  Charge charge;
};

// What differs between Python's sequences, as far as templates see it.
struct SequenceKind {
  std::string_view type_name, open, close;
  bool indexed;  // s[0] works
  bool sized;    // s|length works
};
inline constexpr SequenceKind kList{"list", "[", "]", true, true};
inline constexpr SequenceKind kTuple{"tuple", "(", ")", true, true};
inline constexpr SequenceKind kRange{"range", "range(", ")", true, true};
inline constexpr SequenceKind kDictItems{"dict_items", "dict_items([", "])", false, true};
inline constexpr SequenceKind kDictKeys{"dict_keys", "dict_keys([", "])", false, true};
inline constexpr SequenceKind kDictValues{"dict_values", "dict_values([", "])", false, true};
inline constexpr SequenceKind kGenerator{"generator", "", "", false, false};

struct Sequence {
  const SequenceKind* kind;
  std::vector<Value> items;
  int depth;  // of containers in containers
  mutable bool consumed = false;  // generators give their items once
  Charge charge;
};
struct Dict {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  int depth;
  Charge charge;
};
struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
  Charge charge;
};
struct Callable;  // a function of the environment, or a method together with its object

class Value {
 public:
  using Any = std::variant<Undefined, None, bool, i64, double, std::shared_ptr<const TextObject>,
                           std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
                           std::shared_ptr<const Macro>, std::shared_ptr<const Callable>, std::shared_ptr<Loop>>;
  Value() = default;
  template <class T>
    requires(!std::is_same_v<std::decay_t<T>, Value>)
  Value(T&& value) : any_(std::forward<T>(value)) {}

  template <class T>
  const T* get() const { return std::get_if<T>(&any_); }
  template <class T>
  const T* object() const {
    const std::shared_ptr<T>* shared = std::get_if<std::shared_ptr<T>>(&any_);
    return shared ? shared->get() : nullptr;
  }
  bool is_undefined() const { return get<Undefined>(); }
  bool is_none() const { return get<None>(); }
  const TextObject* text_object() const { return object<const TextObject>(); }
  const Text* text() const { return text_object() ? &text_object()->text : nullptr; }
  bool is_markup() const { return text_object() && text_object()->markup; }
  const Sequence* sequence() const { return object<const Sequence>(); }
  const Dict* dict() const { return object<const Dict>(); }
  const Any& any() const { return any_; }

 private:
  Any any_;
};

struct Callable {
  const Row* row;
  Value self;
};

// The arguments of a call as they stand in the template.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Arguments matched with a row's parameters; nullptr where one was left out.
struct Given {
  std::vector<const Value*> values;
  Arguments* all = nullptr;
  const Value* operator[](std::size_t i) const { return values[i]; }
};

// A filter, test, function or method.
struct Row {
  std::string_view name;
  // Names of the parameters, separated by blanks; a "?" marks those that may be left out, "*" takes whatever comes.
  std::string_view parameters;
  Value (*call)(Run& run, const Value& self, const Given& given);  // nullptr: known in Python, not supported here
};

}  // namespace bitkerf::jinja
