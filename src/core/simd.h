// Sixteen float lanes, written three times: one kernel source serves every instruction set.
//
// A kernel is a file x_kernels.inl, included by x_portable.cc, x_avx2.cc and x_avx512.cc; the flags of each file (CMake
// goes by its name) decide which lanes below it gets. Every operation gives the same bits in all three: lane-wise
// operations are IEEE operations, and the sums over lanes have one fixed tree. So a path is a matter of speed only.
//
// Everything is in an unnamed namespace and inlined by force: a function with linkage that was compiled for AVX-512
// could be linked into portable code (tools/check_kernel_objects.sh looks for those). For the same reason files that
// include this use plain pointers, and no templates or inline functions of other headers.
#pragma once

#include <cstdint>

#if defined(__AVX512F__)
#include "core/simd_avx512.h"
#elif defined(__AVX2__)
#include "core/simd_avx2.h"
#else
#include "core/simd_portable.h"
#endif

namespace bitkerf {
namespace {

BITKERF_INLINE Vec zero() { return splat(0.0f); }
BITKERF_INLINE Vec negate(Vec a) { return sub(zero(), a); }
BITKERF_INLINE Vec magnitude(Vec a) { return max(a, negate(a)); }

constexpr std::int64_t kLanes = 16;
constexpr float kInfinity = __builtin_inff();

// Up to 16 floats at p: the rest are zeros / stay as they are.
BITKERF_INLINE Vec load_up_to(const float* p, std::int64_t count) { return count >= kLanes ? load(p) : load_part(p, count); }
BITKERF_INLINE void store_up_to(float* p, Vec a, std::int64_t count) {
  if (count >= kLanes) store(p, a);
  else store_part(p, a, count);
}

// 2^x. Relative error below 2^-23.4 (1.6e-8 by the polynomial, the rest rounding), measured over all floats by
// ops_test.cc; results below 2^-126 are rounded once more; 2^0 = 1 exactly; 2^-inf = 0; NaN stays NaN.
BITKERF_INLINE Vec exp2(Vec x) {
  x = min(splat(129.0f), max(splat(-151.0f), x));  // constants first: min and max return their second operand on NaN
  Vec n = round_even(x);
  Vec r = sub(x, n);
  // Minimax in relative error on [-1/2, 1/2] for 1 + r q(r), coefficients rounded to float.
  Vec p = splat(0x1.41fbbcp-13f);
  p = fma(p, r, splat(0x1.5f3e54p-10f));
  p = fma(p, r, splat(0x1.3b2d4cp-7f));
  p = fma(p, r, splat(0x1.c6aee8p-5f));
  p = fma(p, r, splat(0x1.ebfbdcp-3f));
  p = fma(p, r, splat(0x1.62e430p-1f));
  p = fma(p, r, splat(1.0f));
  return scale_by_power(p, n);
}

// e^x: as exp2 with the argument reduced by ln 2 in two parts.
BITKERF_INLINE Vec exp(Vec x) {
  x = min(splat(89.5f), max(splat(-104.5f), x));
  Vec n = round_even(mul(x, splat(0x1.715476p+0f)));
  Vec r = fma(n, splat(-0x1.62e400p-1f), x);       // the upper 15 bits of ln 2: n times it is exact
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  // Minimax in relative error for 1 + r + r^2 q(r) on |r| <= ln(2) / 2: 3.8e-9.
  Vec p = splat(0x1.6a244cp-10f);
  p = fma(p, r, splat(0x1.1239d4p-7f));
  p = fma(p, r, splat(0x1.5558f2p-5f));
  p = fma(p, r, splat(0x1.555492p-3f));
  p = fma(p, r, splat(0x1.fffffcp-2f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  return scale_by_power(p, n);
}

// 8191 * 2^x for x <= 0, exactly 8191 at 0; relative error below 2^-18 for x above -120. Weights that become 13-bit
// integers need no more.
BITKERF_INLINE Vec short_weight(Vec x) {
  x = max(splat(-120.0f), x);
  Vec r = fraction(x);
  // Minimax in relative error on [0, 1] for 1 + r q(r), times 8191.
  Vec p = splat(0x1.b7e974p+6f);
  p = fma(p, r, splat(0x1.abeb08p+8f));
  p = fma(p, r, splat(0x1.ee14e0p+10f));
  p = fma(p, r, splat(0x1.62cbb0p+12f));
  p = fma(p, r, splat(8191.0f));
  return scale_by_floor(p, x);
}

// tanh. For |x| < 5/8 the odd polynomial of the Cephes library's tanhf; else from e^(-2|x|).
BITKERF_INLINE Vec tanh(Vec x) {
  Vec z = mul(x, x);
  Vec p = splat(-5.70498872745e-3f);
  p = fma(p, z, splat(2.06390887954e-2f));
  p = fma(p, z, splat(-5.37397155531e-2f));
  p = fma(p, z, splat(1.33314422036e-1f));
  p = fma(p, z, splat(-3.33332819422e-1f));
  Vec small = fma(mul(p, z), x, x);
  Vec size = magnitude(x);
  Vec t = exp(mul(size, splat(-2.0f)));
  Vec big = div(sub(splat(1.0f), t), add(splat(1.0f), t));
  big = select_less(x, zero(), negate(big), big);
  return select_less(size, splat(0.625f), small, big);
}

// 1 / (1 + e^-x)
BITKERF_INLINE Vec sigmoid(Vec x) { return div(splat(1.0f), add(splat(1.0f), exp(negate(x)))); }

}  // namespace
}  // namespace bitkerf
