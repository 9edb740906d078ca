// Invariants of our own code. A failed CHECK prints the expression, the values and the place, and aborts;
// no input from outside may be able to reach one (that is what core/error.h is for).
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

namespace bitkerf {
[[noreturn]] inline void check_failed(const char* file, int line, const char* expression, const std::string& values) {
  std::fprintf(stderr, "%s:%d: check failed: %s%s%s\n", file, line, expression, values.empty() ? "" : ": ", values.c_str());
  std::abort();
}
}  // namespace bitkerf

#define CHECK(condition) \
  do { if (!(condition)) [[unlikely]] ::bitkerf::check_failed(__FILE__, __LINE__, #condition, ""); } while (0)
#define BITKERF_CHECK_OP(a, op, b)                                                                             \
  do { const auto& check_a = (a); const auto& check_b = (b);                                                   \
       if (!(check_a op check_b)) [[unlikely]] ::bitkerf::check_failed(__FILE__, __LINE__, #a " " #op " " #b,  \
                                                                       fmt::format("{} and {}", check_a, check_b)); } while (0)
#define CHECK_EQ(a, b) BITKERF_CHECK_OP(a, ==, b)
#define CHECK_LE(a, b) BITKERF_CHECK_OP(a, <=, b)
#define CHECK_LT(a, b) BITKERF_CHECK_OP(a, <, b)
#define CHECK_GE(a, b) BITKERF_CHECK_OP(a, >=, b)
