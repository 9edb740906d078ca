// Products by a library's dot product of two rows, as its matrix product calls it; built by bench/kernels.py when the
// library is there. cc -O3 -fopenmp -shared -fPIC
#include <stddef.h>
#include <stdint.h>

typedef void (*VecDot)(int n, float *s, size_t bs, const void *x, size_t bx, const void *y, size_t by, int nrc);
typedef void (*FromFloat)(const float *x, void *y, int64_t k);

// y (tokens, rows): activations are encoded first, as in a model. Rows in blocks of 16, so that they stay in L1.
void product(VecDot dot, FromFloat encode, int64_t rows, int64_t cols, int64_t tokens, const char *w, size_t w_bytes,
             const float *x, char *encoded, size_t x_bytes, float *y, int threads) {
#pragma omp parallel num_threads(threads)
  {
#pragma omp for
    for (int64_t t = 0; t < tokens; t++) encode(x + t * cols, encoded + t * x_bytes, cols);
#pragma omp for
    for (int64_t block = 0; block < (rows + 15) / 16; block++)
      for (int64_t t = 0; t < tokens; t++)
        for (int64_t r = 16 * block; r < rows && r < 16 * block + 16; r++)
          dot((int)cols, y + t * rows + r, 0, w + r * w_bytes, 0, encoded + t * x_bytes, 0, 1);
  }
}
