#include "ops/ops.h"

#include <algorithm>
#include <cmath>

#include "ops/kernels.h"

namespace bitkerf {
namespace {

// One row per Isa, in its order.
constexpr const OpKernels* kKernels[] = {&kOpsPortable, &kOpsAvx2, &kOpsAvx512};
const OpKernels& kernels_of(Isa isa) { return *kKernels[static_cast<int>(isa)]; }

// A join costs about as much as passing over this many floats that lie in the cache (1 us, 16 floats in 2-4 cycles).
constexpr i64 kWorthAJoin = 16384;

template <class Body>
void for_rows(i64 rows, i64 cols, Context& context, Body&& body) {
  auto share = [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++) body(r);
  };
  if (rows * cols < kWorthAJoin) share(0, rows);
  else context.threads.split(rows, share);
}

// body(row, where it goes)
template <class Body>
void for_rows_of(const ProductInput& y, i64 rows, i64 cols, Context& context, Body&& body) {
  CHECK_EQ(y.tokens(), rows);
  CHECK_EQ(y.cols(), cols);
  auto share = [&](int worker, i64 first, i64 last) {
    for (i64 r = first; r < last; r++) {
      body(r, y.row(worker, r));
      y.done(worker, r);
    }
  };
  i64 workers = context.threads.count();
  if (workers == 1 || rows * cols < kWorthAJoin) share(0, 0, rows);
  else context.threads.each([&](int worker) { share(worker, rows * worker / workers, rows * (worker + 1) / workers); });
}

void check_same(Matrix<const float> a, Matrix<const float> b) {
  CHECK_EQ(a.rows, b.rows);
  CHECK_EQ(a.cols, b.cols);
}
void check_length(i64 cols, std::span<const float> vector) { CHECK_EQ(cols, static_cast<i64>(vector.size())); }

}  // namespace

void rms_norm(Matrix<const float> x, std::span<const float> gain, float eps, Matrix<float> y, Context& context) noexcept {
  check_same(x, y);
  check_length(x.cols, gain);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(x.rows, x.cols, context, [&](i64 r) {
    // Without a delta the kernel only reads x.
    kernels.rms_norm(const_cast<float*>(x.row(r)), nullptr, gain.data(), eps, x.cols, y.row(r));
  });
}

void add_rms_norm(Matrix<float> x, Matrix<const float> delta, std::span<const float> gain, float eps, Matrix<float> y,
                  Context& context) noexcept {
  check_same(x, delta);
  check_same(x, y);
  check_length(x.cols, gain);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(x.rows, x.cols, context, [&](i64 r) {
    kernels.rms_norm(x.row(r), delta.row(r), gain.data(), eps, x.cols, y.row(r));
  });
}

void rms_norm(Matrix<const float> x, std::span<const float> gain, float eps, const ProductInput& y, Context& context) noexcept {
  check_length(x.cols, gain);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows_of(y, x.rows, x.cols, context, [&](i64 r, float* to) {
    kernels.rms_norm(const_cast<float*>(x.row(r)), nullptr, gain.data(), eps, x.cols, to);
  });
}

void add_rms_norm(Matrix<float> x, Matrix<const float> delta, std::span<const float> gain, float eps, const ProductInput& y,
                  Context& context) noexcept {
  check_same(x, delta);
  check_length(x.cols, gain);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows_of(y, x.rows, x.cols, context, [&](i64 r, float* to) {
    kernels.rms_norm(x.row(r), delta.row(r), gain.data(), eps, x.cols, to);
  });
}

void rms_norm_heads(Matrix<float> x, std::span<const float> gain, float eps, Context& context) noexcept {
  i64 head_dim = static_cast<i64>(gain.size());
  CHECK_EQ(x.cols % head_dim, 0);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(x.rows, x.cols, context, [&](i64 r) {
    for (float* head = x.row(r); head < x.row(r) + x.cols; head += head_dim)
      kernels.rms_norm(head, nullptr, gain.data(), eps, head_dim, head);
  });
}

void layer_norm(Matrix<const float> x, std::span<const float> gain, std::span<const float> bias, float eps,
                Matrix<float> y, Context& context) noexcept {
  check_same(x, y);
  check_length(x.cols, gain);
  if (!bias.empty()) check_length(x.cols, bias);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(x.rows, x.cols, context, [&](i64 r) {
    kernels.layer_norm(x.row(r), gain.data(), bias.empty() ? nullptr : bias.data(), eps, x.cols, y.row(r));
  });
}

void rotate(Matrix<const float> table, RotaryPairs pairs, i64 head_dim, Matrix<float> x, Context& context) noexcept {
  CHECK_EQ(table.rows, x.rows);
  CHECK_EQ(x.cols % head_dim, 0);
  CHECK_LE(table.cols, head_dim);
  const OpKernels& kernels = kernels_of(context.isa);
  auto turn = pairs == RotaryPairs::halves ? kernels.rotate_halves : kernels.rotate_neighbours;
  for_rows(x.rows, x.cols, context, [&](i64 r) {
    for (float* head = x.row(r); head < x.row(r) + x.cols; head += head_dim) turn(table.row(r), table.cols / 2, head);
  });
}

void silu_gate(Matrix<const float> gate, Matrix<const float> up, Matrix<float> y, Context& context) noexcept {
  check_same(gate, up);
  check_same(gate, y);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(y.rows, y.cols, context, [&](i64 r) { kernels.silu_gate(gate.row(r), up.row(r), y.cols, y.row(r)); });
}

void gelu_gate(Matrix<const float> gate, Matrix<const float> up, Matrix<float> y, Context& context) noexcept {
  check_same(gate, up);
  check_same(gate, y);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(y.rows, y.cols, context, [&](i64 r) { kernels.gelu_gate(gate.row(r), up.row(r), y.cols, y.row(r)); });
}

void silu_gate(Matrix<const float> gate, Matrix<const float> up, const ProductInput& y, Context& context) noexcept {
  check_same(gate, up);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows_of(y, gate.rows, gate.cols, context, [&](i64 r, float* to) { kernels.silu_gate(gate.row(r), up.row(r), gate.cols, to); });
}

void gelu_gate(Matrix<const float> gate, Matrix<const float> up, const ProductInput& y, Context& context) noexcept {
  check_same(gate, up);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows_of(y, gate.rows, gate.cols, context, [&](i64 r, float* to) { kernels.gelu_gate(gate.row(r), up.row(r), gate.cols, to); });
}

void softcap(Matrix<float> x, float cap, Context& context) noexcept {
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(x.rows, x.cols, context, [&](i64 r) { kernels.softcap(x.row(r), cap, x.cols); });
}

void scale(Matrix<float> x, float factor, Context& context) noexcept {
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(x.rows, x.cols, context, [&](i64 r) { kernels.scale(x.row(r), factor, x.cols); });
}

void add(Matrix<float> x, Matrix<const float> delta, Context& context) noexcept {
  check_same(x, delta);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(x.rows, x.cols, context, [&](i64 r) { kernels.add(x.row(r), delta.row(r), x.cols); });
}

void add_bias(Matrix<float> x, std::span<const float> bias, Context& context) noexcept {
  check_length(x.cols, bias);
  const OpKernels& kernels = kernels_of(context.isa);
  for_rows(x.rows, x.cols, context, [&](i64 r) { kernels.add(x.row(r), bias.data(), x.cols); });
}

i64 argmax(std::span<const float> x) noexcept {
  // First the largest number, in sixteen lanes that compilers turn into vectors; then its place.
  constexpr std::size_t kLanes = 16;
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, -HUGE_VALF);
  std::size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes)
    for (std::size_t j = 0; j < kLanes; j++) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  float largest = -HUGE_VALF;
  for (float lane : lanes) largest = std::max(largest, lane);
  for (; i < x.size(); i++) largest = x[i] > largest ? x[i] : largest;
  std::span<const float>::iterator place = std::find(x.begin(), x.end(), largest);
  return place == x.end() ? 0 : place - x.begin();
}

double log_sum_exp(std::span<const float> x, Isa isa) noexcept {
  const OpKernels& kernels = kernels_of(isa);
  i64 n = static_cast<i64>(x.size());
  float shift = kernels.maximum(x.data(), n);
  return shift + std::log(kernels.sum_exp(x.data(), shift, n));
}

void log_softmax(std::span<const float> x, std::span<float> y, Isa isa) noexcept {
  double all = log_sum_exp(x, isa);
  for (std::size_t i = 0; i < x.size(); i++) y[i] = static_cast<float>(x[i] - all);
}

void softmax(std::span<const float> x, std::span<float> y, Isa isa) noexcept {
  const OpKernels& kernels = kernels_of(isa);
  i64 n = static_cast<i64>(x.size());
  float shift = kernels.maximum(x.data(), n);
  float factor = static_cast<float>(1 / kernels.sum_exp(x.data(), shift, n));
  kernels.exp(x.data(), shift, factor, n, y.data());
}

}  // namespace bitkerf
