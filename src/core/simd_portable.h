// The lanes of core/simd.h as plain arrays: for processors without AVX2 (compilers make NEON code of it) and as the
// judge of the other two.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "core/float16.h"

#define BITKERF_INLINE [[maybe_unused]] inline __attribute__((always_inline))

namespace bitkerf {
namespace {

struct Vec { float lane[16]; };

// Accumulators of a product tile: rows x vectors of 16 columns that fit the registers.
constexpr int kTileRows = 4, kTileVecs = 1;

template <class Operation>
BITKERF_INLINE Vec lanes(Operation operation) {
  Vec r;
  for (int i = 0; i < 16; i++) r.lane[i] = operation(i);
  return r;
}

BITKERF_INLINE Vec splat(float x) { return lanes([&](int) { return x; }); }
BITKERF_INLINE Vec load(const float* p) { return lanes([&](int i) { return p[i]; }); }
BITKERF_INLINE void store(float* p, Vec a) { for (int i = 0; i < 16; i++) p[i] = a.lane[i]; }
// p on a 64-byte boundary; seen by other threads after finish_stores(). A plain store where there is no other.
BITKERF_INLINE void store_past_cache(float* p, Vec a) {
#if defined(__SSE__)
  for (int i = 0; i < 16; i += 4) _mm_stream_ps(p + i, _mm_loadu_ps(a.lane + i));
#else
  store(p, a);
#endif
}
BITKERF_INLINE void finish_stores() {
#if defined(__SSE__)
  _mm_sfence();
#endif
}
BITKERF_INLINE Vec load_part(const float* p, std::int64_t count) {
  return lanes([&](int i) { return i < count ? p[i] : 0.0f; });
}
BITKERF_INLINE void store_part(float* p, Vec a, std::int64_t count) {
  for (int i = 0; i < 16 && i < count; i++) p[i] = a.lane[i];
}
BITKERF_INLINE Vec load(const std::uint16_t* p) { return lanes([&](int i) { return f16_to_f32(p[i]); }); }
BITKERF_INLINE void store(std::uint16_t* p, Vec a) { for (int i = 0; i < 16; i++) p[i] = f32_to_f16(a.lane[i]); }

BITKERF_INLINE Vec add(Vec a, Vec b) { return lanes([&](int i) { return a.lane[i] + b.lane[i]; }); }
BITKERF_INLINE Vec sub(Vec a, Vec b) { return lanes([&](int i) { return a.lane[i] - b.lane[i]; }); }
BITKERF_INLINE Vec mul(Vec a, Vec b) { return lanes([&](int i) { return a.lane[i] * b.lane[i]; }); }
BITKERF_INLINE Vec div(Vec a, Vec b) { return lanes([&](int i) { return a.lane[i] / b.lane[i]; }); }
BITKERF_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return lanes([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
}
// The second operand when one is NaN, as the x86 instructions do.
BITKERF_INLINE Vec min(Vec a, Vec b) { return lanes([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; }); }
BITKERF_INLINE Vec max(Vec a, Vec b) { return lanes([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; }); }
// Lane i is lane i ^ kHalf of a: 1, 2, 4 or 8.
template <int kHalf>
BITKERF_INLINE Vec swap_lanes(Vec a) { return lanes([&](int i) { return a.lane[i ^ kHalf]; }); }
// a < b ? x : y
BITKERF_INLINE Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return lanes([&](int i) { return a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i]; });
}
// Lane i of a where first <= i < last, else of b.
BITKERF_INLINE Vec select_range(std::int64_t first, std::int64_t last, Vec a, Vec b) {
  return lanes([&](int i) { return first <= i && i < last ? a.lane[i] : b.lane[i]; });
}
// To the nearest integer, ties to even; |a| < 2^22.
BITKERF_INLINE Vec round_even(Vec a) {
  return lanes([&](int i) { return (a.lane[i] + 0x1.8p23f) - 0x1.8p23f; });
}
// a 2^n, rounded once, for a in [1/2, 2] and integers n in [-152, 130].
BITKERF_INLINE Vec scale_by_power(Vec a, Vec n) {
  return lanes([&](int i) {
    if (n.lane[i] != n.lane[i]) return a.lane[i] + n.lane[i];
    int power = static_cast<int>(n.lane[i]), half = power >> 1;
    float first = std::bit_cast<float>((half + 127) << 23), second = std::bit_cast<float>((power - half + 127) << 23);
    return a.lane[i] * first * second;
  });
}
// a - floor(a), rounded.
BITKERF_INLINE Vec fraction(Vec a) { return lanes([&](int i) { return a.lane[i] - std::floor(a.lane[i]); }); }
// a 2^floor(n), exact, for a in [1, 2^14] and n in [-126, 100].
BITKERF_INLINE Vec scale_by_floor(Vec a, Vec n) {
  return lanes([&](int i) {
    if (n.lane[i] != n.lane[i]) return a.lane[i] + n.lane[i];
    return a.lane[i] * std::bit_cast<float>((static_cast<int>(std::floor(n.lane[i])) + 127) << 23);
  });
}

// Sixteen int32, or 32 int16 as pairs.
struct Ints { std::int32_t lane[16]; };

template <class Operation>
BITKERF_INLINE Ints int_lanes(Operation operation) {
  Ints r;
  for (int i = 0; i < 16; i++) r.lane[i] = static_cast<std::int32_t>(operation(i));
  return r;
}

BITKERF_INLINE Ints no_ints() { return int_lanes([](int) { return 0; }); }
BITKERF_INLINE Ints load_ints(const std::int16_t* p) {
  Ints r;
  std::memcpy(r.lane, p, sizeof r.lane);
  return r;
}
BITKERF_INLINE void store_ints(std::int16_t* p, Ints a) { std::memcpy(p, a.lane, sizeof a.lane); }
BITKERF_INLINE Ints splat_pair(const std::int16_t* p) {
  std::int32_t pair;
  std::memcpy(&pair, p, sizeof pair);
  return int_lanes([&](int) { return pair; });
}
// c + the products of a pair; modulo 2^32.
BITKERF_INLINE Ints dot_pairs(Ints a, Ints b, Ints c) {
  std::int16_t x[32], y[32];
  store_ints(x, a), store_ints(y, b);
  return int_lanes([&](int i) {
    return static_cast<std::uint32_t>(c.lane[i]) + static_cast<std::uint32_t>(x[2 * i] * y[2 * i]) +
           static_cast<std::uint32_t>(x[2 * i + 1] * y[2 * i + 1]);
  });
}
BITKERF_INLINE Vec to_float(Ints a) { return lanes([&](int i) { return static_cast<float>(a.lane[i]); }); }
// To the nearest integer, ties to even; |a| < 2^22 (others become the smallest or an undefined number).
BITKERF_INLINE Ints to_ints(Vec a) {
  return int_lanes([&](int i) {
    if (!(std::fabs(a.lane[i]) < 0x1p22f)) return INT32_MIN;
    return static_cast<std::int32_t>((a.lane[i] + 0x1.8p23f) - 0x1.8p23f);
  });
}
// Of int16 numbers: pairs (a, b), lane by lane.
BITKERF_INLINE Ints pack_pairs(Ints a, Ints b) {
  return int_lanes([&](int i) {
    return (static_cast<std::uint32_t>(a.lane[i]) & 0xffff) | (static_cast<std::uint32_t>(b.lane[i]) << 16);
  });
}
// Of numbers in the range of int16: lanes 0-3 of a, 0-3 of b, 4-7 of a, 4-7 of b, ...
BITKERF_INLINE Ints pack_quarters(Ints a, Ints b) {
  std::int16_t r[32];
  for (int i = 0; i < 16; i++) {
    r[i / 4 * 8 + i % 4] = static_cast<std::int16_t>(a.lane[i]);
    r[i / 4 * 8 + 4 + i % 4] = static_cast<std::int16_t>(b.lane[i]);
  }
  return load_ints(r);
}
// Of numbers in the range of int16: 16 of them.
BITKERF_INLINE void store_short(std::int16_t* p, Ints a) {
  for (int i = 0; i < 16; i++) p[i] = static_cast<std::int16_t>(a.lane[i]);
}

// Over lanes, as a tree that halves the number of lanes: i and i + 8, then i and i + 4, ...
BITKERF_INLINE float sum(Vec a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) a.lane[i] += a.lane[i + half];
  return a.lane[0];
}
BITKERF_INLINE float largest(Vec a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) a.lane[i] = a.lane[i] > a.lane[i + half] ? a.lane[i] : a.lane[i + half];
  return a.lane[0];
}
BITKERF_INLINE float square_root(float x) { return std::sqrt(x); }

// Turns 16 vectors (rows) into columns.
BITKERF_INLINE void transpose(Vec (&rows)[16]) {
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < i; j++) {
      float t = rows[i].lane[j];
      rows[i].lane[j] = rows[j].lane[i];
      rows[j].lane[i] = t;
    }
}
// x0 y0 x1 y1 ... <-> x0 x1 ..., y0 y1 ...
BITKERF_INLINE void deinterleave(Vec& a, Vec& b) {
  Vec x = lanes([&](int i) { return i < 8 ? a.lane[2 * i] : b.lane[2 * i - 16]; });
  Vec y = lanes([&](int i) { return i < 8 ? a.lane[2 * i + 1] : b.lane[2 * i - 15]; });
  a = x, b = y;
}
BITKERF_INLINE void interleave(Vec& x, Vec& y) {
  Vec a = lanes([&](int i) { return i % 2 ? y.lane[i / 2] : x.lane[i / 2]; });
  Vec b = lanes([&](int i) { return i % 2 ? y.lane[8 + i / 2] : x.lane[8 + i / 2]; });
  x = a, y = b;
}

}  // namespace
}  // namespace bitkerf
