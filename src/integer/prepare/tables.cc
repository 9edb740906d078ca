#include "integer/prepare/tables.h"

#include <algorithm>
#include <cmath>

namespace bitkerf {

DyadicRow dyadic_row(std::span<const double> factors) {
  double largest = 0;
  for (double factor : factors) largest = std::max(largest, factor);
  CHECK(largest < 0x1p30);
  int exponent = 0;
  std::frexp(largest, &exponent);  // largest < 2^exponent
  DyadicRow row{Buffer<std::int32_t>(static_cast<i64>(factors.size())), std::clamp(31 - exponent, 1, 62)};
  for (std::size_t i = 0; i < factors.size(); i++)
    row.multipliers[static_cast<i64>(i)] = static_cast<std::int32_t>(std::min(std::nearbyint(std::ldexp(factors[i], row.shift)), 0x7fffffff * 1.0));
  return row;
}

Dyadic dyadic(double factor) {
  DyadicRow row = dyadic_row({&factor, 1});
  return {row.multipliers[0], row.shift};
}

Buffer<std::int32_t> power_table() {
  Buffer<std::int32_t> table(kPowerEntries);
  for (i64 i = 0; i < kPowerEntries; i++) table[i] = static_cast<std::int32_t>(std::nearbyint(std::exp2(24 - static_cast<double>(i) / 256)));
  return table;
}

Buffer<std::int32_t> gate_table(double (*function)(double x)) {
  Buffer<std::int32_t> table(kGateEntries);
  for (i64 i = 0; i < kGateEntries; i++) table[i] = static_cast<std::int32_t>(std::nearbyint(std::ldexp(function(static_cast<double>(i) / 64 - 16), 20)));
  return table;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double normal_distribution(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace bitkerf
