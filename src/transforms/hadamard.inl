// Kernels of transforms/hadamard.h, for one instruction set. A row is a Kronecker product's operand: S runs along its
// last axis, in lanes and then between vectors; a core runs along an axis of whole vectors. Additions have one order.
#include "core/simd.h"
#include "transforms/hadamard_kernels.h"

namespace bitkerf {
namespace {

using i64 = std::int64_t;
constexpr i64 kVec = kLanes;

// -1 in the lanes whose number has the bit 1, 2, 4, 8.
struct SignTable {
  alignas(64) float lane[4][16] = {};
  constexpr SignTable() {
    for (int bit = 0; bit < 4; bit++)
      for (int i = 0; i < 16; i++) lane[bit][i] = i >> bit & 1 ? -1.0f : 1.0f;
  }
};
constexpr SignTable kSigns;

// Of every pair of lanes i, i + kHalf: sum and difference (products by +-1 are exact).
template <int kHalf>
BITKERF_INLINE Vec butterfly(Vec a, Vec signs) { return fma(a, signs, swap_lanes<kHalf>(a)); }

struct LaneSigns {
  Vec by1 = load(kSigns.lane[0]), by2 = load(kSigns.lane[1]), by4 = load(kSigns.lane[2]), by8 = load(kSigns.lane[3]);
};

// The first `stages` of the 4 stages in a vector.
BITKERF_INLINE Vec in_lanes(Vec a, const LaneSigns& signs, int stages) {
  if (stages > 0) a = butterfly<1>(a, signs.by1);
  if (stages > 1) a = butterfly<2>(a, signs.by2);
  if (stages > 2) a = butterfly<4>(a, signs.by4);
  if (stages > 3) a = butterfly<8>(a, signs.by8);
  return a;
}

BITKERF_INLINE void sum_and_difference(Vec& a, Vec& b) {
  Vec sum = add(a, b);
  b = sub(a, b);
  a = sum;
}

template <int kCount>
BITKERF_INLINE void between(Vec (&v)[kCount]) {
#pragma GCC unroll 3
  for (int h = 1; h < kCount; h *= 2)
#pragma GCC unroll 8
    for (int i = 0; i < kCount; i++)
      if ((i & h) == 0) sum_and_difference(v[i], v[i + h]);
}

// Sylvester's matrix of order 16 kCount on every 16 kCount floats. signs may be nullptr.
template <int kCount>
void first_stages(const float* x, const float* signs, i64 n, float* y) {
  const LaneSigns lane_signs;
  for (i64 i = 0; i < n; i += kCount * kVec) {
    Vec v[kCount];
#pragma GCC unroll 8
    for (int j = 0; j < kCount; j++) {
      v[j] = load(x + i + j * kVec);
      if (signs) v[j] = mul(v[j], load(signs + i + j * kVec));
      v[j] = in_lanes(v[j], lane_signs, 4);
    }
    between(v);
#pragma GCC unroll 8
    for (int j = 0; j < kCount; j++) store(y + i + j * kVec, v[j]);
  }
}

// Order kCount at `stride` floats, a multiple of 16.
template <int kCount>
void later_stages(float* y, i64 n, i64 stride) {
  for (i64 outer = 0; outer < n; outer += kCount * stride)
    for (i64 i = outer; i < outer + stride; i += kVec) {
      Vec v[kCount];
#pragma GCC unroll 8
      for (int j = 0; j < kCount; j++) v[j] = load(y + i + j * stride);
      between(v);
#pragma GCC unroll 8
      for (int j = 0; j < kCount; j++) store(y + i + j * stride, v[j]);
    }
}

// Sylvester's matrix of order 2^power on every 2^power floats of x, times signs unless they are nullptr.
void sylvester(const float* x, const float* signs, i64 n, int power, float* y) {
  if (power < 4) {
    const LaneSigns lane_signs;
    for (i64 i = 0; i < n; i += kVec) {
      Vec v = load_up_to(x + i, n - i);
      if (signs) v = mul(v, load_up_to(signs + i, n - i));
      store_up_to(y + i, in_lanes(v, lane_signs, power), n - i);
    }
    return;
  }
  if (power == 4) first_stages<1>(x, signs, n, y);
  else if (power == 5) first_stages<2>(x, signs, n, y);
  else if (power == 6) first_stages<4>(x, signs, n, y);
  else first_stages<8>(x, signs, n, y);
  for (int done = 7; done < power;) {
    const i64 stride = i64{1} << done;
    if (power - done >= 3) later_stages<8>(y, n, stride), done += 3;
    else if (power - done == 2) later_stages<4>(y, n, stride), done += 2;
    else later_stages<2>(y, n, stride), done += 1;
  }
}

constexpr i64 kMostOrder = HadamardPlan::kMostOrder;

// All sums +-a+-b+-c+-d of four vectors, out[bits]: minus where a bit is set, the lowest for a.
BITKERF_INLINE void signed_sums(Vec a, Vec b, Vec c, Vec d, float* out) {
  const Vec ab[2] = {add(a, b), sub(a, b)}, cd[2] = {add(c, d), sub(c, d)};
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) {  // bits of b, c, d
    // With a minus at c: minus (c + d) or minus (c - d).
    const int minus_b = i & 1, minus_c = i >> 1 & 1, minus_d = i >> 2 & 1;
    const Vec other = cd[minus_c ^ minus_d];
    const Vec s = minus_c ? sub(ab[minus_b], other) : add(ab[minus_b], other);
    store(out + 2 * i * kVec, s);
    store(out + (2 * (7 - i) + 1) * kVec, negate(s));
  }
}

// One core on the rows (order, stride) at y, the `count` floats of each row that start at y.
BITKERF_INLINE void core_columns(const std::uint16_t* rows, i64 order, i64 stride, i64 count, float* y) {
  alignas(64) float sums[kMostOrder / 4 * 16 * kVec];
  const i64 groups = order / 4;
  for (i64 g = 0; g < groups; g++) {
    const float* from = y + 4 * g * stride;
    signed_sums(load_up_to(from, count), load_up_to(from + stride, count), load_up_to(from + 2 * stride, count),
                load_up_to(from + 3 * stride, count), sums + g * 16 * kVec);
  }
  for (i64 r = 0; r < order; r += 4) {
    const std::uint16_t* at = rows + r * groups;
    Vec v[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) v[j] = load(sums + at[j * groups] * kVec);
    for (i64 g = 1; g < groups; g++)
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) v[j] = add(v[j], load(sums + at[j * groups + g] * kVec));
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) store_up_to(y + (r + j) * stride, v[j], count);
  }
}

void apply_core(const std::uint16_t* rows, i64 order, i64 n, i64 stride, float* y) {
  for (i64 outer = 0; outer < n; outer += order * stride) {
    if (stride % kVec == 0)
      for (i64 i = 0; i < stride; i += kVec) core_columns(rows, order, stride, kVec, y + outer + i);
    else
      for (i64 i = 0; i < stride; i += kVec) core_columns(rows, order, stride, stride - i < kVec ? stride - i : kVec, y + outer + i);
  }
}

void forward(const HadamardPlan& plan, const float* x, float* y) noexcept {
  for (i64 at = 0; at < plan.n; at += plan.block) {
    sylvester(x + at, plan.signs + at, plan.block, plan.power, y + at);
    i64 stride = i64{1} << plan.power;
    for (int i = plan.cores - 1; i >= 0; stride *= plan.core[i--].order)
      apply_core(plan.core[i].rows, plan.core[i].order, plan.block, stride, y + at);
  }
}

void inverse(const HadamardPlan& plan, const float* x, float* y) noexcept {
  for (i64 at = 0; at < plan.n; at += plan.block) {
    sylvester(x + at, nullptr, plan.block, plan.power, y + at);
    i64 stride = i64{1} << plan.power;
    for (int i = plan.cores - 1; i >= 0; stride *= plan.core[i--].order)
      apply_core(plan.core[i].rows_of_transpose, plan.core[i].order, plan.block, stride, y + at);
  }
  for (i64 i = 0; i < plan.n; i += kVec)
    store_up_to(y + i, mul(load_up_to(y + i, plan.n - i), load_up_to(plan.signs + i, plan.n - i)), plan.n - i);
}

}  // namespace

const HadamardKernels BITKERF_TABLE = {forward, inverse};

}  // namespace bitkerf
