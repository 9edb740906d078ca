#include "measure/stream.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <atomic>

#include "measure/clock.h"

namespace bitkerf {
namespace {

constexpr float kFactor = 3;  // as in STREAM

}  // namespace

i64 stream_floats() {
  i64 wanted = std::clamp<i64>(4 * cpu_info().l3_bytes, i64{64} << 20, i64{512} << 20);
  struct sysinfo memory {};
  if (sysinfo(&memory) == 0)
    wanted = std::min(wanted, static_cast<i64>(memory.totalram) * static_cast<i64>(memory.mem_unit) / 24);
  return round_up<i64>(std::max<i64>(wanted, 1 << 20) / static_cast<i64>(sizeof(float)), Stream::kBlock);
}

Stream::Stream(Isa isa, Threads& threads, i64 floats)
    : loops_(roof_loops(isa).streams), floats_(floats), memory_(3 * floats, false) {
  CHECK_EQ(floats % kBlock, 0);
  set(1, 2, 0, threads);
}

void Stream::set(float a, float b, float c, Threads& threads) {
  float values[] = {a, b, c};
  for (int i = 0; i < 3; i++)
    threads.split(floats_ / kBlock, [&](i64 first, i64 last) {
      std::fill(array(i) + first * kBlock, array(i) + last * kBlock, values[i]);
    });
}

double Stream::seconds(int i, bool past_cache, Threads& threads) {
  StreamLoop::Run run = past_cache ? loops_[i].past_cache : loops_[i].through_cache;
  double start = now();
  threads.split(floats_ / kBlock, [&](i64 first, i64 last) {
    run(array(0), array(1), array(2), kFactor, first * kBlock, last * kBlock);
  });
  return now() - start;
}

bool Stream::right(bool past_cache, Threads& threads) {
  float a = 1, b = 2, c = 0;
  set(a, b, c, threads);
  for (int i = 0; i < kStreamLoops; i++) seconds(i, past_cache, threads);
  c = a;
  b = kFactor * c;
  c = a + b;
  a = b + kFactor * c;
  float values[] = {a, b, c};
  std::atomic<bool> right = true;
  threads.split(floats_, [&](i64 first, i64 last) {
    for (int i = 0; i < 3; i++)
      for (i64 j = first; j < last; j++)
        if (array(i)[j] != values[i]) right = false;
  });
  return right;
}

}  // namespace bitkerf
