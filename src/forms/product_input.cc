#include "forms/product_input.h"

namespace bitkerf {
namespace {

// Calls use(encoding) once for every encoding among the readers; answers whether one takes floats as they are.
template <class Use>
bool for_encodings(std::span<const Linear* const> readers, Use&& use) {
  bool floats = false;
  auto every_part = [&](auto&& of) {
    for (const Linear* reader : readers)
      if (for_packed(*reader, [&](const PackedLinear& part, PartPlace) { return of(part); })) return;
  };
  every_part([&](const PackedLinear& part) {
    bool before = false;
    every_part([&](const PackedLinear& other) {
      if (&other == &part) return true;
      before = &other.input() == &part.input();
      return before;
    });
    if (&part.input() == &float_input()) floats = true;
    else if (!before) use(part.input());
    return false;
  });
  return floats;
}

i64 whole_lines(i64 bytes) { return round_up<i64>(bytes, 64) + 64; }  // 64 more, that kernels may read

}  // namespace

ProductInput::ProductInput(std::span<const Linear* const> readers, i64 tokens, Context& context, void* memory) noexcept
    : tokens_(tokens), cols_(readers[0]->shape().cols), isa_(context.isa) {
  auto* at = static_cast<std::byte*>(memory);
  auto take = [&](i64 bytes) {
    std::byte* p = at;
    at += whole_lines(bytes);
    return p;
  };
  i64 encodings = 0;
  for_encodings(readers, [&](const Encoding&) { encodings++; });
  encodings_ = reinterpret_cast<const Encoding**>(take(encodings * static_cast<i64>(sizeof(void*))));
  memories_ = reinterpret_cast<void**>(take(encodings * static_cast<i64>(sizeof(void*))));
  bool floats = for_encodings(readers, [&](const Encoding& encoding) {
    encodings_[count_] = &encoding;
    memories_[count_] = take(encoding.bytes(tokens, cols_));
    encoding.prepare(memories_[count_], tokens, cols_);
    count_++;
  });
  if (floats) {
    floats_ = {reinterpret_cast<float*>(take(tokens * cols_ * 4)), tokens, cols_};
    read_floats_ = floats_;
  } else {
    rows_ = reinterpret_cast<float*>(take(context.threads.count() * row_floats(cols_) * 4));
  }
}

i64 ProductInput::scratch(std::span<const Linear* const> readers, i64 tokens, int threads) {
  i64 bytes = 0, encodings = 0, cols = readers[0]->shape().cols;
  bool floats = for_encodings(readers, [&](const Encoding& encoding) {
    bytes += whole_lines(encoding.bytes(tokens, cols));
    encodings++;
  });
  return bytes + 2 * whole_lines(encodings * static_cast<i64>(sizeof(void*))) +
         whole_lines(floats ? tokens * cols * 4 : threads * row_floats(cols) * 4);
}

const void* ProductInput::of(const Encoding& encoding) const noexcept {
  if (&encoding == &float_input()) {
    CHECK(floats_.data != nullptr);
    return &read_floats_;
  }
  for (i64 i = 0; i < count_; i++)
    if (encodings_[i] == &encoding) return memories_[i];
  CHECK(false);
  return nullptr;
}

}  // namespace bitkerf
