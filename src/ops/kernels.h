// The row kernels behind ops.h: one table of them per instruction set. Counts are of floats; pointers need no
// alignment.
#pragma once

#include <cstdint>

namespace bitkerf {

struct OpKernels {
  // y = x / sqrt(mean(x^2) + eps) * gain; if delta is given, x += delta before.
  void (*rms_norm)(float* x, const float* delta, const float* gain, float eps, std::int64_t n, float* y) noexcept;
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float eps, std::int64_t n, float* y) noexcept;
  void (*rotate_halves)(const float* table, std::int64_t pairs, float* head) noexcept;
  void (*rotate_neighbours)(const float* table, std::int64_t pairs, float* head) noexcept;
  void (*silu_gate)(const float* gate, const float* up, std::int64_t n, float* y) noexcept;
  void (*gelu_gate)(const float* gate, const float* up, std::int64_t n, float* y) noexcept;
  void (*softcap)(float* x, float cap, std::int64_t n) noexcept;
  void (*scale)(float* x, float factor, std::int64_t n) noexcept;
  void (*add)(float* x, const float* delta, std::int64_t n) noexcept;
  float (*maximum)(const float* x, std::int64_t n) noexcept;                      // of n >= 1
  double (*sum_exp)(const float* x, float shift, std::int64_t n) noexcept;        // of e^(x - shift)
  void (*exp)(const float* x, float shift, float factor, std::int64_t n, float* y) noexcept;  // y = e^(x - shift) factor
  void (*tanh)(const float* x, std::int64_t n, float* y) noexcept;
  void (*exp2)(const float* x, std::int64_t n, float* y) noexcept;
};

extern const OpKernels kOpsPortable, kOpsAvx2, kOpsAvx512;

}  // namespace bitkerf
