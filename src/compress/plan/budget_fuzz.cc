// Any text is a budget or refused with Fault::usage, and a budget's value can be computed with.
#include "compress/plan/budget.h"

#include <cmath>

#include "core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitkerf;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    Budget budget = parse_budget(text);
    CHECK(budget.kind && std::isfinite(budget.value) && budget.value > 0 && budget.value <= 1e15);
    CHECK(budget.tokens >= 0 && budget.text == text);
    CHECK(parse_budget(budget.text).value == budget.value);
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::usage);
  }
  return 0;
}
