#include "formats/lattice.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace bitkerf {
namespace {

// Half the pattern's sum of absolute values may be odd; then an odd number of minus signs makes the point's sum even.
bool needs_odd_signs(const std::int8_t* twice) {
  int sum = 0;
  for (int i = 0; i < 8; i++) sum += std::abs(int{twice[i]});
  return sum / 2 % 2 == 1;
}

SignedPatterns make_e8p() {
  SignedPatterns table{};
  int count = 0;
  // Lexicographic in (1, 3, 5); of squared norm 12 (sum of twice squared: 48), those with the most 3s come first, as
  // their points are the likeliest of that norm around a normal distribution's typical radius.
  auto each = [&](auto&& take) {
    for (int n = 0; n < 6561; n++) {
      std::array<std::int8_t, 8> a{};
      int norm = 0;
      for (int i = 0, m = n; i < 8; i++, m /= 3) {
        a[static_cast<std::size_t>(7 - i)] = static_cast<std::int8_t>(1 + 2 * (m % 3));
        norm += (1 + 2 * (m % 3)) * (1 + 2 * (m % 3));
      }
      take(a, norm);
    }
  };
  auto add = [&](const std::array<std::int8_t, 8>& a) { std::copy(a.begin(), a.end(), table.twice[count++]); };
  each([&](const auto& a, int norm) {
    if (norm <= 40) add(a);
  });
  CHECK_EQ(count, 227);
  each([&](const auto& a, int norm) {
    if (norm == 48 && *std::max_element(a.begin(), a.end()) == 3 && count < kE8pPatterns) add(a);
  });
  CHECK_EQ(count, kE8pPatterns);
  for (auto& pattern : table.twice)
    if (needs_odd_signs(pattern)) pattern[7] = static_cast<std::int8_t>(-pattern[7]);
  return table;
}

// The patterns by weight, so that the search over them is vector code.
struct ByWeight {
  float value[8][kE8pPatterns];
  float norm[kE8pPatterns];
  int odd[kE8pPatterns];  // 0 or 1, as wide as the floats
  ByWeight() {
    for (int p = 0; p < kE8pPatterns; p++) {
      norm[p] = 0;
      for (int i = 0; i < 8; i++) {
        value[i][p] = std::fabs(static_cast<float>(e8p().twice[p][i])) / 2;
        norm[p] += value[i][p] * value[i][p];
      }
      odd[p] = e8p().twice[p][7] < 0;
    }
  }
};

// Rounding a model asks this a hundred million times, so it is compiled for the machine's vector units too: the same
// operations, so the same bits.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_ISA [[gnu::target_clones("avx512f", "avx2", "default")]]
#else
#define FOR_EACH_ISA
#endif

// The squared distance of every pattern with the best signs; returns the least.
FOR_EACH_ISA float pattern_errors(const ByWeight& patterns, const float* magnitude, float size, bool odd, float* error) {
  constexpr int kLanes = 16;
  float lowest[kLanes];
  for (int l = 0; l < kLanes; l++) lowest[l] = INFINITY;
  for (int first = 0; first < kE8pPatterns; first += kLanes) {
    for (int l = 0; l < kLanes; l++) {
      const int p = first + l;
      float dot = 0, flip = INFINITY;
      for (int i = 0; i < 8; i++) {
        float product = magnitude[i] * patterns.value[i][p];
        dot += product;
        flip = product < flip ? product : flip;
      }
      error[p] = size + patterns.norm[p] - 2 * dot + (patterns.odd[p] != static_cast<int>(odd) ? 4 * flip : 0.0f);
      lowest[l] = error[p] < lowest[l] ? error[p] : lowest[l];
    }
  }
  float least = INFINITY;
  for (float e : lowest) least = std::min(least, e);
  return least;
}

// For both shifts and every pattern take the signs of x; where their parity is wrong, flip the weight that costs least.
int nearest_e8p(const float* x) noexcept {
  static const ByWeight kPatterns;
  float least = INFINITY;
  int best_pattern = 0, best_shift = 0;
  for (int shift = 0; shift < 2; shift++) {
    float magnitude[8], size = 0;
    unsigned minus = 0;
    for (int i = 0; i < 8; i++) {
      float v = x[i] - (shift == 0 ? 0.25f : -0.25f);
      magnitude[i] = std::fabs(v);
      minus |= static_cast<unsigned>(std::signbit(v)) << i;
      size += v * v;
    }
    bool odd = std::popcount(minus) % 2 == 1;
    float error[kE8pPatterns];
    const float lowest = pattern_errors(kPatterns, magnitude, size, odd, error);
    if (!(lowest < least)) continue;
    least = lowest;
    best_shift = shift;
    best_pattern = static_cast<int>(std::find(error, error + kE8pPatterns - 1, lowest) - error);
  }
  unsigned signs = 0;
  int cheapest = 0;
  float flip = INFINITY;
  for (int i = 0; i < 8; i++) {
    float v = x[i] - (best_shift == 0 ? 0.25f : -0.25f);
    signs |= static_cast<unsigned>(std::signbit(v)) << i;
    float product = std::fabs(v) * kPatterns.value[i][best_pattern];
    if (product < flip) flip = product, cheapest = i;
  }
  if (kPatterns.odd[best_pattern] != (std::popcount(signs) % 2 == 1)) signs ^= 1u << cheapest;
  return static_cast<int>(static_cast<unsigned>(best_pattern) | (signs & 0x7f) << 8 | static_cast<unsigned>(best_shift) << 15);
}

}  // namespace

const SignedPatterns& e8p() {
  static const SignedPatterns table = make_e8p();
  return table;
}

const Grid& e8p_grid() {
  static const Grid grid = [] {
    std::vector<float> values(65536 * 8);
    for (unsigned code = 0; code < 65536; code++) {
      const std::int8_t* twice = e8p().twice[code & 0xff];
      unsigned signs = code >> 8 & 0x7f;
      signs |= static_cast<unsigned>(std::popcount(signs) % 2) << 7;
      for (unsigned i = 0; i < 8; i++) {
        float v = static_cast<float>(twice[i]) / 2;
        values[code * 8 + i] = (signs >> i & 1 ? -v : v) + (code >> 15 ? -0.25f : 0.25f);
      }
    }
    return Grid::points(8, std::move(values), nearest_e8p).with_rms(1.03f).with_patterns(e8p());  // QuIP#, section 4.2
  }();
  return grid;
}

}  // namespace bitkerf
