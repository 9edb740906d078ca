// Both products of a Kronecker transform; KRONECKER names the function. Every sum is a chain of fused multiplications and additions
// in the order of the inner index, so all instruction sets give the same bits.
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

#include <cstddef>

#include "transforms/kronecker_kernels.h"

namespace bitkerf {
namespace {

using std::int64_t;

// A width of columns at a time: load, multiply by one number and add, store.
#ifdef __AVX512F__
struct Sixteen {
  static constexpr int64_t kLanes = 16;
  __m512 v = _mm512_setzero_ps();
  static Sixteen load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void add(Sixteen x, float c) { v = _mm512_fmadd_ps(x.v, _mm512_set1_ps(c), v); }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
};
#endif
#if defined(__AVX2__) && defined(__FMA__)
struct Eight {
  static constexpr int64_t kLanes = 8;
  __m256 v = _mm256_setzero_ps();
  static Eight load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void add(Eight x, float c) { v = _mm256_fmadd_ps(x.v, _mm256_set1_ps(c), v); }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
};
#endif
struct One {
  static constexpr int64_t kLanes = 1;
  float v = 0;
  static One load(const float* p) { return {*p}; }
  void add(One x, float c) { v = __builtin_fmaf(x.v, c, v); }
  void store(float* p) const { *p = v; }
};

// y[r, 0..lanes of V) = sum_i c[i * step + r * row] x[i, ...], R rows.
template <class V, int R>
[[gnu::always_inline]] inline void tile(const float* c, int64_t step, int64_t row, const float* x, int64_t stride, int64_t n, float* y) {
  V sum[R];
  for (int64_t i = 0; i < n; i++) {
    const V v = V::load(x + i * stride);
    for (int r = 0; r < R; r++) sum[r].add(v, c[i * step + r * row]);
  }
  for (int r = 0; r < R; r++) sum[r].store(y + r * stride);
}

template <int R>
[[gnu::always_inline]] inline void rows(const float* c, int64_t step, int64_t row, const float* x, int64_t n, float* y, int64_t cols) {
  int64_t at = 0;
  auto use = [&]<class V>(V) {
    for (; at + V::kLanes <= cols; at += V::kLanes) tile<V, R>(c, step, row, x + at, cols, n, y + at);
  };
#ifdef __AVX512F__
  use(Sixteen{});
#endif
#if defined(__AVX2__) && defined(__FMA__)
  use(Eight{});
#endif
  use(One{});
}

// y (count, cols) = C x, x (n, cols), C(r, i) = c[i * step + r * row].
inline void product(const float* c, int64_t step, int64_t row, int64_t count, const float* x, int64_t n, float* y, int64_t cols) {
  int64_t r = 0;
  for (; r + 8 <= count; r += 8) rows<8>(c + r * row, step, row, x, n, y + r * cols, cols);
  for (; r + 4 <= count; r += 4) rows<4>(c + r * row, step, row, x, n, y + r * cols, cols);
  for (; r < count; r++) rows<1>(c + r * row, step, row, x, n, y + r * cols, cols);
}

}  // namespace

void KRONECKER(const KroneckerTask& t, const float* x, float* y) noexcept {
  float one[KroneckerTask::kMostWidth], two[KroneckerTask::kMostWidth];
  const int64_t n = t.n1 * t.n2;
  if (t.before)
    for (int64_t i = 0; i < n; i++) one[i] = x[i] * t.before[i];
  else __builtin_memcpy(one, x, static_cast<std::size_t>(n) * sizeof(float));
  product(t.left, t.n1, 1, t.n1, one, t.n1, two, t.n2);
  product(two, 1, t.n2, t.n1, t.right, t.n2, y, t.n2);
  if (t.after)
    for (int64_t i = 0; i < n; i++) y[i] *= t.after[i];
}

}  // namespace bitkerf
