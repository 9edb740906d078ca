#include "compress/calibration/moments.h"

#include <cblas.h>

#include <algorithm>

namespace bitkerf {
namespace {

// Columns of the moment matrix that one task computes; its part of x (512 tokens) takes 128 KiB.
constexpr i64 kTileCols = 64;

}  // namespace

void add_moment(Matrix<const float> x, Matrix<float> sum, Threads& threads) noexcept {
  i64 tiles = ceil_div(x.cols, kTileCols), half = ceil_div<i64>(tiles, 2);
  auto tile = [&](i64 i) {
    i64 first = i * kTileCols, count = std::min(kTileCols, x.cols - first), rest = x.cols - first;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<blasint>(count), static_cast<blasint>(rest), static_cast<blasint>(x.rows), 1,
                x.data + first, static_cast<blasint>(x.stride), x.data + first, static_cast<blasint>(x.stride), 1, sum.row(first) + first,
                static_cast<blasint>(sum.stride));
  };
  // A tile near the top, which is long, goes with one near the bottom.
  threads.split(half, [&](i64 first, i64 last) {
    for (i64 i = first; i < last; i++) {
      tile(i);
      if (tiles - 1 - i != i) tile(tiles - 1 - i);
    }
  });
}

void finish_moment(Matrix<float> m, double total, Threads& threads) noexcept {
  threads.split(m.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++)
      for (i64 c = r; c < m.cols; c++) m(r, c) = static_cast<float>(m(r, c) / total);
  });
  for (i64 r = 0; r < m.rows; r++)
    for (i64 c = 0; c < r; c++) m(r, c) = m(c, r);
}

}  // namespace bitkerf
