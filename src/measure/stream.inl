// The four loops of STREAM on the lanes of core/simd.h. Included by roofs_*.cc.
#include "core/simd.h"

namespace bitkerf {
namespace {


template <bool kPast>
BITKERF_INLINE void put(float* p, Vec v) {
  if constexpr (kPast) store_past_cache(p, v);
  else store(p, v);
}

template <bool kPast>
void stream_copy(float* a, float*, float* c, float, std::int64_t first, std::int64_t last) noexcept {
  for (std::int64_t i = first; i < last; i += kLanes) put<kPast>(c + i, load(a + i));
  if (kPast) finish_stores();
}
template <bool kPast>
void stream_scale(float*, float* b, float* c, float factor, std::int64_t first, std::int64_t last) noexcept {
  for (std::int64_t i = first; i < last; i += kLanes) put<kPast>(b + i, mul(splat(factor), load(c + i)));
  if (kPast) finish_stores();
}
template <bool kPast>
void stream_add(float* a, float* b, float* c, float, std::int64_t first, std::int64_t last) noexcept {
  for (std::int64_t i = first; i < last; i += kLanes) put<kPast>(c + i, bitkerf::add(load(a + i), load(b + i)));
  if (kPast) finish_stores();
}
template <bool kPast>
void stream_triad(float* a, float* b, float* c, float factor, std::int64_t first, std::int64_t last) noexcept {
  for (std::int64_t i = first; i < last; i += kLanes) put<kPast>(a + i, bitkerf::add(load(b + i), mul(splat(factor), load(c + i))));
  if (kPast) finish_stores();
}

constexpr StreamLoop kStreams[kStreamLoops] = {
    {"copy", 2, stream_copy<false>, stream_copy<true>},
    {"scale", 2, stream_scale<false>, stream_scale<true>},
    {"add", 3, stream_add<false>, stream_add<true>},
    {"triad", 3, stream_triad<false>, stream_triad<true>},
};

// Six additions that wait for each other: six cycles.
#if defined(__x86_64__)
#define BITKERF_SIX_ADDS(x, y) __asm__ volatile("add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0" : "+r"(x) : "r"(y))
#elif defined(__aarch64__)
#define BITKERF_SIX_ADDS(x, y) __asm__ volatile("add %0, %0, %1\n\tadd %0, %0, %1\n\tadd %0, %0, %1\n\tadd %0, %0, %1\n\tadd %0, %0, %1\n\tadd %0, %0, %1" : "+r"(x) : "r"(y))
#endif
constexpr std::int64_t kClockCycles = 18;

int clock_loop(std::int64_t iterations) noexcept {
  std::int64_t x = 1, y = iterations;
  for (std::int64_t n = 0; n < iterations; n++) {
    BITKERF_SIX_ADDS(x, y);
    BITKERF_SIX_ADDS(x, y);
    BITKERF_SIX_ADDS(x, y);
  }
  return static_cast<int>(x);
}

}  // namespace
}  // namespace bitkerf
