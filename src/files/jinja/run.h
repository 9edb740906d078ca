// One rendering: what it may still use up, where it is, and the makers of values, which charge for them.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "files/jinja/value.h"

namespace bitkerf::jinja {

struct Position { int line = 1, column = 1; };

inline constexpr int kMaximumNesting = 100;      // of brackets and blocks in a template, of lists in lists
inline constexpr int kMaximumTree = 300;         // of a syntax tree: a + b + c + ... leans to the left
inline constexpr int kMaximumEvaluation = 1500;  // evaluations within evaluations: macros that call themselves

// Variables of one block. An inner scope reads the outer ones and never writes them.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<const std::string*, Value>> variables;  // the names belong to the syntax tree
  Charge charge;
};

class Run {
 public:
  Run(Budget budget, std::time_t now) : budget(budget), now(now) {}
  ~Run();
  Run(const Run&) = delete;

  // An error at the place that is being evaluated.
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    bitkerf::fail(Fault::file, "chat template, line {}, column {}: {}", at.line, at.column,
                  fmt::format(format, std::forward<Args>(args)...));
  }

  void spend(i64 steps) {
    budget.steps_left -= steps;
    if (budget.steps_left < 0) [[unlikely]] fail("the template does not end within the steps allowed to it");
  }
  void spend_characters(std::size_t n) { spend(static_cast<i64>(n / 16)); }
  // Checks that `bytes` more may be alive.
  void need(std::size_t bytes) const {
    if (budget.bytes_left < static_cast<i64>(bytes)) [[unlikely]] fail("the template uses more memory than allowed");
  }

  Value text(Text text, bool markup = false);
  Value text(TextView view) { need(4 * view.size()); return text(Text(view)); }
  Value text(std::string_view utf8) { return text(from_utf8(utf8)); }
  Value text(const char* utf8) { return text(std::string_view(utf8)); }
  Value sequence(const SequenceKind& kind, std::vector<Value> items);
  Value list(std::vector<Value> items) { return sequence(kList, std::move(items)); }
  Value dict(std::vector<std::pair<Value, Value>> entries);  // keys are distinct
  Value new_namespace();
  std::shared_ptr<Scope> scope(std::shared_ptr<Scope> parent);
  // Keeps a scope until the run ends: a macro refers to it, and it to the macro.
  void keep(std::shared_ptr<Scope> scope) { kept_scopes_.push_back(std::move(scope)); }
  Value call(const Value& callee, Arguments& arguments);

  Budget budget;
  Position at;
  int depth = 0;
  std::time_t now;
  std::shared_ptr<Scope> here;        // the innermost scope
  class TextBuilder* out = nullptr;   // where statements write

 private:
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Scope>> kept_scopes_;
};

// Builds a text and refuses to let it grow beyond what the run may use.
class TextBuilder {
 public:
  explicit TextBuilder(Run& run) : run_(run) {}
  TextBuilder(const TextBuilder&) = delete;
  ~TextBuilder() { run_.budget.bytes_left += charged_; }
  void add(TextView view) {
    charge(view.size());
    text_ += view;
  }
  void add(std::string_view ascii) {
    charge(ascii.size());
    text_.append(ascii.begin(), ascii.end());
  }
  void add(const char* ascii) { add(std::string_view(ascii)); }
  void add(char32_t c) {
    charge(1);
    text_.push_back(c);
  }
  void repeat(char32_t c, i64 count) {
    if (count <= 0) return;
    charge(static_cast<std::size_t>(count));
    text_.append(static_cast<std::size_t>(count), c);
  }
  const Text& text() const { return text_; }
  Text take() { return std::move(text_); }
  Run& run() { return run_; }

 private:
  void charge(std::size_t characters) {
    if (characters > (std::size_t{1} << 40)) run_.need(characters);
    run_.need(4 * characters);
    run_.spend_characters(characters);
    run_.budget.bytes_left -= static_cast<i64>(4 * characters);
    charged_ += static_cast<i64>(4 * characters);
  }
  Run& run_;
  Text text_;
  i64 charged_ = 0;
};

// Something inside something: counts the steps and stops what goes too deep.
class Deeper {
 public:
  Deeper(Run& run, Position at) : run_(run) {
    run.at = at;
    run.spend(1);
    if (++run.depth > kMaximumEvaluation) [[unlikely]] {
      --run.depth;
      run.fail("more than {} evaluations within one another: does a macro call itself without end?", kMaximumEvaluation);
    }
  }
  ~Deeper() { --run_.depth; }

 private:
  Run& run_;
};

}  // namespace bitkerf::jinja
