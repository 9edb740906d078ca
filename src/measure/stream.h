// STREAM (McCalpin): copy, scale, add and triad on arrays far above the last cache, through the program's own layer:
// lanes of core/simd.h, a team of core/threads.h, pages first touched by the worker that will use them. What the
// memory gives when nothing but the layer is in between.
#pragma once

#include "core/buffer.h"
#include "core/threads.h"
#include "measure/roof_loops.h"

namespace bitkerf {

class Stream {
 public:
  // Three arrays of `floats`, a multiple of kBlock; `threads` touches them.
  static constexpr i64 kBlock = 1024;
  Stream(Isa isa, Threads& threads, i64 floats);

  const StreamLoop& loop(int i) const { return loops_[i]; }
  double bytes(int i) const { return static_cast<double>(loops_[i].arrays * floats_) * sizeof(float); }
  double seconds(int i, bool past_cache, Threads& threads);  // of one run
  i64 floats() const { return floats_; }
  float* array(int i) { return memory_.data() + i * floats_; }  // a, b, c, one behind the other

  // Runs all four once from a known state and compares every element with the same in scalars.
  bool right(bool past_cache, Threads& threads);

 private:
  void set(float a, float b, float c, Threads& threads);
  const StreamLoop* loops_;
  i64 floats_;
  Buffer<float> memory_;
};

// Floats of an array that is at least four times the last cache, as STREAM asks; less where memory is short.
i64 stream_floats();

}  // namespace bitkerf
