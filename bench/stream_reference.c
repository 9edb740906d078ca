// The four loops of the STREAM benchmark in plain C with OpenMP, one parallel loop each: what the library's own layer is
// compared with (bench/stream.py). Built as a shared object with the flags of the library's kernels. PAST_CACHE: stores
// that do not read the line first, as the library's other variant has them; a compiler makes none of plain C.
#define _GNU_SOURCE
#include <omp.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef PAST_CACHE
#include <immintrin.h>
#endif

static float *restrict a, *restrict b, *restrict c;
static long n;
static const float factor = 3;

int reference_start(long floats, int threads) {
  n = floats;
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
  // Whole pages, or madvise does nothing.
  float* memory = aligned_alloc(2 << 20, 3 * (size_t)n * sizeof(float));
  if (!memory) return 0;
  madvise(memory, 3 * (size_t)n * sizeof(float), MADV_HUGEPAGE);
  a = memory, b = memory + n, c = memory + 2 * n;
#pragma omp parallel for schedule(static)
  for (long i = 0; i < n; i++) a[i] = 1, b[i] = 2, c[i] = 0;
  return 1;
}

void reference_end(void) { free(a); }

#ifndef PAST_CACHE
#define LOOP(target, value) \
  _Pragma("omp parallel for schedule(static)") for (long i = 0; i < n; i++) target[i] = value
#define A a[i]
#define B b[i]
#define C c[i]
#define ADD(x, y) (x) + (y)
#define SCALE(x) factor * (x)
#else
#if defined(__AVX512F__)
#define V(name) _mm512_##name##_ps
enum { lanes = 16 };
#elif defined(__AVX2__)
#define V(name) _mm256_##name##_ps
enum { lanes = 8 };
#else
#define V(name) _mm_##name##_ps
enum { lanes = 4 };
#endif
#define LOOP(target, value)                                                              \
  _Pragma("omp parallel") {                                                              \
    _Pragma("omp for schedule(static)") for (long j = 0; j < n / lanes; j++) {           \
      long i = j * lanes;                                                                \
      V(stream)(target + i, value);                                                      \
    }                                                                                    \
    _mm_sfence();                                                                        \
  }
#define A V(load)(a + i)
#define B V(load)(b + i)
#define C V(load)(c + i)
#define ADD(x, y) V(add)(x, y)
#define SCALE(x) V(mul)(V(set1)(factor), x)
#endif

double reference_seconds(int loop) {
  double start = omp_get_wtime();
  if (loop == 0) LOOP(c, A);
  if (loop == 1) LOOP(b, SCALE(C));
  if (loop == 2) LOOP(c, ADD(A, B));
  if (loop == 3) LOOP(a, ADD(B, SCALE(C)));
  return omp_get_wtime() - start;
}

// Of the first and the last element, so that the loops can be checked.
double reference_sum(void) { return a[0] + b[0] + c[0] + a[n - 1] + b[n - 1] + c[n - 1]; }
