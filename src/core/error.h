// How bitkerf reports trouble.
//   The outside world is wrong (file, flag, request, device):  fail(Fault::..., "what, where, expected")
//   Our own code is wrong:                                     CHECK(...), see core/check.h
// An Error is caught in two places only: main() and the server's request boundary.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace bitkerf {

enum class Fault { run_time, usage, file, budget, quality, memory };

// What each fault means to a caller: one row per Fault, in its order.
struct FaultRow {
  Fault fault;
  int exit_code;
  int http_status;
  std::string_view meaning;
};
inline constexpr FaultRow kFaults[] = {
    {Fault::run_time, 1, 500, "something failed while running"},
    {Fault::usage, 2, 400, "a flag, request or text is not valid"},
    {Fault::file, 3, 422, "a file is missing, damaged or not supported"},
    {Fault::budget, 4, 422, "the budget cannot be met"},
    {Fault::quality, 5, 422, "a quality gate failed"},
    {Fault::memory, 6, 507, "not enough memory"},
};
constexpr const FaultRow& row_of(Fault fault) { return kFaults[static_cast<int>(fault)]; }

// One clear line: what is wrong, where, and what was expected; `hint` (may be empty) says what to try.
class Error : public std::runtime_error {
 public:
  Error(Fault fault, const std::string& message, std::string hint = {})
      : std::runtime_error(message), fault_(fault), hint_(std::move(hint)) {}
  Fault fault() const { return fault_; }
  const std::string& hint() const { return hint_; }

 private:
  Fault fault_;
  std::string hint_;
};

template <class... Args>
[[noreturn]] void fail(Fault fault, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fault, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace bitkerf
