#include "transforms/hadamard.h"

#include <bit>
#include <cmath>
#include <optional>

namespace bitkerf {
namespace {

constexpr const HadamardKernels* kKernels[] = {&kHadamard_portable, &kHadamard_avx2, &kHadamard_avx512};  // by Isa

bool is_prime(i64 n) {
  for (i64 d = 2; d * d <= n; d++)
    if (n % d == 0) return false;
  return n >= 2;
}

bool has_paley(i64 order) {
  i64 half = order / 2 - 1;
  return order % 4 == 0 && (is_prime(order - 1) || (half % 4 == 1 && is_prime(half)));
}

bool is_power_of_two(i64 n) { return std::has_single_bit(static_cast<std::uint64_t>(n)); }
int log2_of(i64 n) { return std::countr_zero(static_cast<std::uint64_t>(n)); }

// Orders of cores in ascending order, and the power of two that is left.
struct Factors {
  std::vector<i64> orders;
  i64 power = 1;
  i64 cost() const {
    i64 sum = log2_of(power) + (power < 16 ? 64 : 0);  // a power of 16 fills the lanes of a vector
    for (i64 order : orders) sum += order;
    return sum;
  }
};

// The cheapest product, of equally cheap ones the first in the order of the smallest cores.
std::optional<Factors> factors_of(i64 n, i64 least = 12, int most = HadamardPlan::kMostCores) {
  std::optional<Factors> best;
  if (is_power_of_two(n)) best = Factors{{}, n};
  if (most == 0) return best;
  for (i64 order = least; order <= std::min(n, HadamardPlan::kMostOrder); order += 4) {
    if (n % order != 0 || is_power_of_two(order) || !has_paley(order)) continue;
    std::optional<Factors> rest = factors_of(n / order, order, most - 1);
    if (!rest) continue;
    rest->orders.insert(rest->orders.begin(), order);
    if (!best || rest->cost() < best->cost()) best = rest;
  }
  return best;
}

i64 largest_block(i64 width) {
  for (i64 blocks = 1; width / blocks >= Hadamard::kLeastBlock; blocks++)
    if (width % blocks == 0 && factors_of(width / blocks)) return width / blocks;
  return 0;
}

// Legendre symbol of a modulo the prime q: whether a is a square.
int legendre(i64 a, i64 q) {
  a = (a % q + q) % q;
  if (a == 0) return 0;
  for (i64 r = 1; r <= q / 2; r++)
    if (r * r % q == a) return 1;
  return -1;
}

std::vector<std::uint16_t> sign_groups(const std::vector<std::int8_t>& matrix, i64 order, bool transposed) {
  std::vector<std::uint16_t> rows;
  for (i64 r = 0; r < order; r++)
    for (i64 g = 0; g < order / 4; g++) {
      i64 index = 16 * g;
      for (i64 j = 0; j < 4; j++) {
        i64 c = 4 * g + j, at = transposed ? c * order + r : r * order + c;
        if (matrix[static_cast<std::size_t>(at)] < 0) index += i64{1} << j;
      }
      rows.push_back(static_cast<std::uint16_t>(index));
    }
  return rows;
}

// The finalizer of SplitMix64 (Steele et al. 2014), of width and column.
bool is_minus(i64 width, i64 column) {
  std::uint64_t z = (static_cast<std::uint64_t>(width) << 32) + static_cast<std::uint64_t>(column) + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return ((z ^ (z >> 31)) >> 63) != 0;
}

}  // namespace

std::vector<std::int8_t> paley_matrix(i64 order) {
  if (!has_paley(order)) return {};
  const bool first_kind = is_prime(order - 1);
  const i64 q = first_kind ? order - 1 : order / 2 - 1;
  // S: zero diagonal, borders of ones, inside the Legendre symbols of r - c: S S^T = q I. For q = 3 mod 4 it is skew (a
  // border of minus ones below) and H = I + S; for q = 1 mod 4 it is symmetric, and its entries s become blocks of
  // s [[1, 1], [1, -1]], zeros [[1, -1], [-1, -1]].
  auto s = [&](i64 r, i64 c) -> int {
    if (r == c) return 0;
    if (r == 0) return 1;
    if (c == 0) return first_kind ? -1 : 1;
    return legendre(r - c, q);
  };
  std::vector<std::int8_t> matrix;
  for (i64 r = 0; r < order; r++)
    for (i64 c = 0; c < order; c++) {
      if (first_kind) {
        matrix.push_back(static_cast<std::int8_t>(r == c ? 1 : s(r, c)));
        continue;
      }
      int value = s(r / 2, c / 2), corner = static_cast<int>(r % 2 + c % 2);
      matrix.push_back(static_cast<std::int8_t>(value == 0 ? (corner == 0 ? 1 : -1) : corner == 2 ? -value : value));
    }
  return matrix;
}

bool Hadamard::fits(i64 width) { return width > 0 && width <= kMostTransformed && largest_block(width) > 0; }

Hadamard::Hadamard(i64 width) {
  plan_.n = width;
  plan_.block = largest_block(width);
  CHECK(plan_.block > 0);
  Factors factors = *factors_of(plan_.block);
  plan_.power = log2_of(factors.power);
  for (i64 order : factors.orders) {
    std::vector<std::int8_t> matrix = paley_matrix(order);
    HadamardCore& core = plan_.core[plan_.cores++];
    core.order = order;
    core.rows = tables_.emplace_back(sign_groups(matrix, order, false)).data();
    core.rows_of_transpose = tables_.emplace_back(sign_groups(matrix, order, true)).data();
  }
  const auto size = static_cast<float>(1 / std::sqrt(static_cast<double>(plan_.block)));
  for (i64 i = 0; i < width; i++) signs_.push_back(is_minus(width, i) ? -size : size);
  plan_.signs = signs_.data();
}

void Hadamard::input(Isa isa, const float* x, float* y) const noexcept { kKernels[static_cast<int>(isa)]->forward(plan_, x, y); }
void Hadamard::original(Isa isa, const float* x, float* y) const noexcept { kKernels[static_cast<int>(isa)]->inverse(plan_, x, y); }

std::vector<i64> Hadamard::factors() const {
  std::vector<i64> factors;
  for (int i = 0; i < plan_.cores; i++) factors.push_back(plan_.core[i].order);
  factors.push_back(i64{1} << plan_.power);
  return factors;
}

}  // namespace bitkerf
