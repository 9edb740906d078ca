// Arithmetic on sizes that come from files: every sum and product that could wrap goes through these.
#pragma once

#include <concepts>
#include <optional>

namespace bitkerf {

template <std::integral T>
constexpr std::optional<T> checked_add(T a, T b) {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
constexpr std::optional<T> checked_mul(T a, T b) {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// The smallest multiple of `step` (> 0) that is >= value.
template <std::integral T>
constexpr std::optional<T> checked_round_up(T value, T step) {
  std::optional<T> above = checked_add<T>(value, static_cast<T>(step - 1));
  if (!above) return std::nullopt;
  return static_cast<T>(*above / step * step);
}

}  // namespace bitkerf
