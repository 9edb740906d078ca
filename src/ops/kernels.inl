// Row kernels of ops/kernels.h, compiled once per instruction set by the three files that include this.
#include "core/simd.h"
#include "ops/kernels.h"

namespace bitkerf {
namespace {

using i64 = std::int64_t;

// sum of f(i) over the vectors of a row as 64 partial sums by column modulo 64: four chains hide the latency.
template <class F>
BITKERF_INLINE float sum_over(i64 n, F f) {
  Vec s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();
  i64 i = 0;
  for (; i + 64 <= n; i += 64) {
    s0 = f(i, 16, s0);
    s1 = f(i + 16, 16, s1);
    s2 = f(i + 32, 16, s2);
    s3 = f(i + 48, 16, s3);
  }
  if (i < n) s0 = f(i, n - i, s0);
  if (i + 16 < n) s1 = f(i + 16, n - i - 16, s1);
  if (i + 32 < n) s2 = f(i + 32, n - i - 32, s2);
  if (i + 48 < n) s3 = f(i + 48, n - i - 48, s3);
  return sum(add(add(s0, s1), add(s2, s3)));
}

template <class F>
BITKERF_INLINE void for_vectors(i64 n, F f) {
  i64 i = 0;
  for (; i + 16 <= n; i += 16) f(i, 16);
  if (i < n) f(i, n - i);
}

void rms_norm(float* x, const float* delta, const float* gain, float eps, i64 n, float* y) noexcept {
  float squares;
  if (delta) {
    squares = sum_over(n, [&](i64 i, i64 count, Vec s) {
      Vec a = add(load_up_to(x + i, count), load_up_to(delta + i, count));
      store_up_to(x + i, a, count);
      return fma(a, a, s);
    });
  } else {
    squares = sum_over(n, [&](i64 i, i64 count, Vec s) {
      Vec a = load_up_to(x + i, count);
      return fma(a, a, s);
    });
  }
  Vec factor = splat(1.0f / square_root(squares / static_cast<float>(n) + eps));
  for_vectors(n, [&](i64 i, i64 count) {
    store_up_to(y + i, mul(mul(load_up_to(x + i, count), factor), load_up_to(gain + i, count)), count);
  });
}

void layer_norm(const float* x, const float* gain, const float* bias, float eps, i64 n, float* y) noexcept {
  float mean = sum_over(n, [&](i64 i, i64 count, Vec s) { return add(s, load_up_to(x + i, count)); }) /
               static_cast<float>(n);
  float squares = sum_over(n, [&](i64 i, i64 count, Vec s) {
    Vec a = sub(load_up_to(x + i, count), splat(mean));
    if (count < 16) a = select_range(0, count, a, zero());
    return fma(a, a, s);
  });
  Vec factor = splat(1.0f / square_root(squares / static_cast<float>(n) + eps));
  for_vectors(n, [&](i64 i, i64 count) {
    Vec a = mul(sub(load_up_to(x + i, count), splat(mean)), factor);
    a = fma(a, load_up_to(gain + i, count), bias ? load_up_to(bias + i, count) : zero());
    store_up_to(y + i, a, count);
  });
}

// (x, y) turned: (x cos - y sin, y cos + x sin), the second product inside the fma.
BITKERF_INLINE void turn(Vec& x, Vec& y, Vec cosine, Vec sine) {
  Vec a = fma(negate(y), sine, mul(x, cosine));
  y = fma(x, sine, mul(y, cosine));
  x = a;
}

void rotate_halves(const float* table, i64 pairs, float* head) noexcept {
  for_vectors(pairs, [&](i64 i, i64 count) {
    Vec x = load_up_to(head + i, count), y = load_up_to(head + pairs + i, count);
    turn(x, y, load_up_to(table + i, count), load_up_to(table + pairs + i, count));
    store_up_to(head + i, x, count);
    store_up_to(head + pairs + i, y, count);
  });
}

void rotate_neighbours(const float* table, i64 pairs, float* head) noexcept {
  for_vectors(pairs, [&](i64 i, i64 count) {
    Vec x = load_up_to(head + 2 * i, 2 * count), y = load_up_to(head + 2 * i + 16, 2 * count - 16);
    deinterleave(x, y);
    turn(x, y, load_up_to(table + i, count), load_up_to(table + pairs + i, count));
    interleave(x, y);
    store_up_to(head + 2 * i, x, 2 * count);
    store_up_to(head + 2 * i + 16, y, 2 * count - 16);
  });
}

void silu_gate(const float* gate, const float* up, i64 n, float* y) noexcept {
  for_vectors(n, [&](i64 i, i64 count) {
    Vec g = load_up_to(gate + i, count);
    store_up_to(y + i, mul(div(g, add(splat(1.0f), exp(negate(g)))), load_up_to(up + i, count)), count);
  });
}

void gelu_gate(const float* gate, const float* up, i64 n, float* y) noexcept {
  // -2 sqrt(2/pi) and that times 0.044715
  const Vec linear = splat(-1.5957691216057308f), cubic = splat(-0.07135481282552583f);
  for_vectors(n, [&](i64 i, i64 count) {
    Vec g = load_up_to(gate + i, count);
    Vec exponent = mul(g, fma(mul(g, g), cubic, linear));
    store_up_to(y + i, mul(div(g, add(splat(1.0f), exp(exponent))), load_up_to(up + i, count)), count);
  });
}

void softcap(float* x, float cap, i64 n) noexcept {
  Vec inverse = splat(1.0f / cap), factor = splat(cap);
  for_vectors(n, [&](i64 i, i64 count) {
    store_up_to(x + i, mul(tanh(mul(load_up_to(x + i, count), inverse)), factor), count);
  });
}

void scale(float* x, float factor, i64 n) noexcept {
  for_vectors(n, [&](i64 i, i64 count) { store_up_to(x + i, mul(load_up_to(x + i, count), splat(factor)), count); });
}

void add_rows(float* x, const float* delta, i64 n) noexcept {
  for_vectors(n, [&](i64 i, i64 count) {
    store_up_to(x + i, add(load_up_to(x + i, count), load_up_to(delta + i, count)), count);
  });
}

float maximum(const float* x, i64 n) noexcept {
  Vec m0 = splat(-kInfinity), m1 = m0, m2 = m0, m3 = m0;
  // The new values first: a NaN loses, since the second operand is kept.
  i64 i = 0;
  for (; i + 64 <= n; i += 64) {
    m0 = max(load(x + i), m0);
    m1 = max(load(x + i + 16), m1);
    m2 = max(load(x + i + 32), m2);
    m3 = max(load(x + i + 48), m3);
  }
  for (; i < n; i += 16) m0 = max(select_range(0, n - i, load_up_to(x + i, n - i), splat(-kInfinity)), m0);
  return largest(max(max(m0, m1), max(m2, m3)));
}

double sum_exp(const float* x, float shift, i64 n) noexcept {
  double partial[16] = {};
  for_vectors(n, [&](i64 i, i64 count) {
    float e[16];
    store(e, exp(sub(load_up_to(x + i, count), splat(shift))));
    for (i64 j = 0; j < count; j++) partial[j] += e[j];
  });
  for (int half = 8; half > 0; half /= 2)
    for (int j = 0; j < half; j++) partial[j] += partial[j + half];
  return partial[0];
}

void exp_rows(const float* x, float shift, float factor, i64 n, float* y) noexcept {
  for_vectors(n, [&](i64 i, i64 count) {
    store_up_to(y + i, mul(exp(sub(load_up_to(x + i, count), splat(shift))), splat(factor)), count);
  });
}

void tanh_rows(const float* x, i64 n, float* y) noexcept {
  for_vectors(n, [&](i64 i, i64 count) { store_up_to(y + i, tanh(load_up_to(x + i, count)), count); });
}

void exp2_rows(const float* x, i64 n, float* y) noexcept {
  for_vectors(n, [&](i64 i, i64 count) { store_up_to(y + i, exp2(load_up_to(x + i, count)), count); });
}

}  // namespace

const OpKernels BITKERF_TABLE = {
    .rms_norm = rms_norm, .layer_norm = layer_norm,
    .rotate_halves = rotate_halves, .rotate_neighbours = rotate_neighbours,
    .silu_gate = silu_gate, .gelu_gate = gelu_gate, .softcap = softcap, .scale = scale, .add = add_rows,
    .maximum = maximum, .sum_exp = sum_exp, .exp = exp_rows, .tanh = tanh_rows, .exp2 = exp2_rows,
};

}  // namespace bitkerf
