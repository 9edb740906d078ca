#include "compress/plan/timing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "compress/quantizers/round_to_nearest.h"
#include "measure/clock.h"

namespace bitkerf {
namespace {

constexpr i64 kLine = 64;

// Takes the bytes out of all caches.
void evict(std::span<const std::byte> bytes) {
#if defined(__x86_64__)
  for (std::size_t i = 0; i < bytes.size(); i += kLine) __builtin_ia32_clflush(bytes.data() + i);
  __builtin_ia32_mfence();
#else
  static Buffer<std::byte> other(i64{128} << 20);
  std::memset(other.data(), 1, static_cast<std::size_t>(other.size()));
#endif
}

template <class T>
OwnedMatrix<T> repeat_rows(const OwnedMatrix<T>& block, i64 rows) {
  OwnedMatrix<T> out(block.rows() == 0 ? 0 : rows, block.cols());
  for (i64 r = 0; r < out.rows(); r++) std::copy_n(block.view().row(r % block.rows()), block.cols(), out.view().row(r));
  return out;
}

}  // namespace

ProductTimer::ProductTimer(Isa isa, i64 rows, i64 cols, i64 tokens) : isa_(isa), x_(tokens * cols), y_(tokens * rows) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (float& v : x_.span()) v = normal(random);
}

double ProductTimer::seconds(const PackedLinear& linear, i64 tokens, bool cold, Threads& threads, std::string_view kernel) {
  i64 scratch = linear.scratch(tokens);
  if (!arena_ || arena_->bytes() < scratch) arena_ = std::make_unique<Arena>(scratch);
  Context context{threads, *arena_, isa_, kernel};
  Matrix<const float> x{x_.data(), tokens, linear.shape().cols};
  Matrix<float> y{y_.data(), tokens, linear.shape().rows};
  linear.apply(x, y, context);
  double least = INFINITY, second = INFINITY, start = now();
  for (int tries = 0; tries < 3 || (tries < 7 && now() - start < 3e-3); tries++) {
    int repeats = 1;
    if (cold) {
      evict(linear.packed_bytes());
      threads.each([](int) {});  // in a model the team is awake
    } else if (least < 2e-5) {
      repeats = 5;  // above the clock's grain
    }
    double from = now();
    for (int i = 0; i < repeats; i++) linear.apply(x, y, context);
    const double seconds = (now() - from) / repeats;
    second = std::min(second, std::max(least, seconds));
    least = std::min(least, seconds);
  }
  return second;
}

Quantized random_weights(const NumberFormat& format, Shape shape) {
  i64 rows = std::min<i64>(shape.rows, std::max<i64>(32, format.group_rows >= shape.rows ? shape.rows : format.group_rows));
  OwnedMatrix<float> weights(rows, shape.cols);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (i64 i = 0; i < rows * shape.cols; i++) weights.view().data[i] = 0.02f * normal(random);
  Quantized block = round_to_nearest(weights.view(), format, scale_rules::largest);
  if (rows == shape.rows) return block;
  Quantized all{block.format, repeat_rows(block.codes, shape.rows), repeat_rows(block.scales, shape.rows),
                repeat_rows(block.minima, shape.rows), block.tensor_scale, repeat_rows(block.tables, shape.rows), block.cols,
                repeat_rows(block.row_scales, shape.rows)};
  return all;
}

}  // namespace bitkerf
