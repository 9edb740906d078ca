// Memory between two pages that nobody may touch, and a way to survive touching them.
//
// What kernels are promised behind their operands, and what they get here, not a byte more:
//
//   packed bytes     0 readable bytes (they may end a mapped file); 64-byte aligned
//   x, y             0; aligned as floats are, rows may be any number of floats apart
//   encoded input,   64 readable bytes (Arena::take), never writable; 64-byte aligned
//   scratch of tiles
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <string>

#include "core/view.h"

namespace bitkerf {

inline constexpr i64 kArenaSlack = 64;

// Where the forbidden page is nearest. `back` finds reads behind, `front` in front of the operand.
enum class Edge { back, front };

// Who forbids pages inside must allow them again: mappings are used again.
class Guarded {
 public:
  // All bytes, and those around them that are not forbidden, start as 0xff: NaN as floats, -1 as integers.
  Guarded(i64 bytes, i64 alignment, Edge edge, i64 readable_behind = 0);
  Guarded(const void* copy_of, i64 bytes, i64 alignment, Edge edge, i64 readable_behind = 0)
      : Guarded(bytes, alignment, edge, readable_behind) {
    if (bytes > 0) std::memcpy(data_, copy_of, static_cast<std::size_t>(bytes));
  }
  ~Guarded();
  Guarded(const Guarded&) = delete;
  Guarded(Guarded&& other) noexcept : map_(other.map_), map_bytes_(other.map_bytes_), data_(other.data_), bytes_(other.bytes_) { other.map_ = nullptr; }

  std::byte* data() { return data_; }
  template <class T>
  T* as() { return reinterpret_cast<T*>(data_); }
  i64 bytes() const { return bytes_; }
  // Nobody wrote around it.
  bool intact() const;

 private:
  std::byte* map_;
  i64 map_bytes_;
  std::byte* data_;
  i64 bytes_;
};

// Runs body on this thread; false when it touched memory that it may not (the body is then left where it was, so it
// may own nothing that must be given back).
bool survives(const std::function<void()>& body);

}  // namespace bitkerf
