// A hash table from 64-bit keys to a small value: open addressing, no deletion. One probe is usually one cache line.
#pragma once

#include <cstdint>
#include <vector>

#include "core/view.h"

namespace bitkerf {

// Mixes all bits of the key into the high ones (a multiply by 2^64 / golden ratio after folding).
inline std::uint64_t mix_bits(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0x9E3779B97F4A7C15u;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9u;
  return x ^ x >> 32;
}

template <class Value>
class FlatTable {
 public:
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};  // no key may have this value

  explicit FlatTable(i64 expected = 0) {
    i64 size = 16;
    while (size < 2 * expected) size *= 2;
    slots_.resize(static_cast<std::size_t>(size));
  }

  // The value of the key and whether it is new (then it is `value`). The reference lives until the next insertion.
  std::pair<Value&, bool> insert(std::uint64_t key, const Value& value) {
    if (2 * (count_ + 1) > static_cast<i64>(slots_.size())) grow();
    Slot& slot = slots_[place(key)];
    if (slot.key == key) return {slot.value, false};
    slot = {key, value};
    count_++;
    return {slot.value, true};
  }
  const Value* find(std::uint64_t key) const {
    const Slot& slot = slots_[place(key)];
    return slot.key == key ? &slot.value : nullptr;
  }

 private:
  struct Slot {
    std::uint64_t key = kNone;
    Value value{};
  };
  std::size_t place(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = mix_bits(key) & mask;
    while (slots_[at].key != key && slots_[at].key != kNone) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.key != kNone) slots_[place(slot.key)] = slot;
  }

  std::vector<Slot> slots_;
  i64 count_ = 0;
};

}  // namespace bitkerf
