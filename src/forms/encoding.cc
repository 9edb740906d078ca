#include "forms/encoding.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include <fmt/format.h>

#include "core/buffer.h"
#include "core/error.h"
#include "core/float16.h"
#include "forms/brain_rows.h"
#include "forms/fixed_point/words.h"

namespace bitkerf {
namespace {

constexpr EncodeInts kEncodeInts[] = {encode_ints_portable, encode_ints_avx2, encode_ints_avx512};  // by Isa

// Calls take(bytes) for every part, in order: once to add up, once to lay out.
template <class Take>
void lay_out(const Encoding& e, i64 tokens, i64 cols, IntRows& rows, Take&& take) {
  rows.bits = e.bits;
  rows.bipolar = e.bipolar;
  // An odd number of cache lines, so that the same columns of several tokens do not fall into the same sets of a cache.
  rows.cols = (ceil_div<i64>(cols, 64) | 1) * 64;
  rows.units = ceil_div<i64>(cols, 32);
  rows.group_units = e.group == kRowGroup ? std::max<i64>(rows.units, 1) : e.group / 32;
  rows.groups = ceil_div(rows.units, rows.group_units);
  // First, so that what most kernels read last ends where the memory does (tests of reads beyond it).
  rows.tables = e.has_tables() ? reinterpret_cast<std::uint8_t*>(take(rows.units * 256)) : nullptr;
  rows.q = reinterpret_cast<std::int8_t*>(take(tokens * rows.cols));
  rows.low = e.bits > 8 ? reinterpret_cast<std::int8_t*>(take(tokens * rows.cols)) : nullptr;
  rows.scale = reinterpret_cast<float*>(take(tokens * rows.groups * 4));
  rows.scaled_sum = reinterpret_cast<float*>(take(tokens * rows.groups * 4));
  rows.minus_before = reinterpret_cast<std::int32_t*>(take(tokens * (rows.units + 1) * 4));
  rows.minus_sum16 = reinterpret_cast<std::int32_t*>(take(tokens * rows.units * 8));
  rows.planes = e.has_planes() ? reinterpret_cast<std::uint32_t*>(take(tokens * e.bits * rows.units * 4)) : nullptr;
}

constexpr i64 kHead = (sizeof(IntRows) + 63) / 64 * 64;

i64 int_bytes(const Encoding& e, i64 tokens, i64 cols) {
  IntRows rows;
  i64 bytes = kHead;
  lay_out(e, tokens, cols, rows, [&](i64 n) -> std::byte* { return bytes += round_up<i64>(n, 64), nullptr; });
  return bytes;
}

void prepare_ints(const Encoding& e, void* memory, i64 tokens, i64 cols) noexcept {
  auto* p = static_cast<std::byte*>(memory) + kHead;
  lay_out(e, tokens, cols, *new (memory) IntRows, [&](i64 n) {
    std::byte* at = p;
    p += round_up<i64>(n, 64);
    return at;
  });
}

void encode_ints(const Encoding&, Isa isa, Matrix<const float> x, i64 first, i64 last, void* memory) noexcept {
  kEncodeInts[static_cast<int>(isa)](x, first, last, *static_cast<const IntRows*>(memory));
}

double int_value(const Encoding&, const void* memory, i64 token, i64 col) {
  const IntRows& rows = *static_cast<const IntRows*>(memory);
  double code = rows.q[token * rows.cols + col];
  if (rows.low) code = 256 * code + rows.low[token * rows.cols + col];
  return code * double{rows.scale[token * rows.groups + col / 32 / rows.group_units]};
}

constexpr i64 kBrainHead = 64;

i64 brain_bytes(const Encoding&, i64 tokens, i64 cols) { return kBrainHead + round_up<i64>(tokens * ceil_div<i64>(cols, 2) * 4, 64); }

void prepare_brain(const Encoding&, void* memory, i64, i64 cols) noexcept {
  auto* pairs = reinterpret_cast<std::uint32_t*>(static_cast<std::byte*>(memory) + kBrainHead);
  new (memory) BrainRows{pairs, ceil_div<i64>(cols, 2)};
}

void encode_brain(const Encoding&, Isa, Matrix<const float> x, i64 first, i64 last, void* memory) noexcept {
  const BrainRows& rows = *static_cast<const BrainRows*>(memory);
  for (i64 t = first; t < last; t++) {
    const float* row = x.row(t);
    std::uint32_t* out = rows.pairs + t * rows.pairs_per_row;
    for (i64 i = 0; i < x.cols / 2; i++) out[i] = f32_to_bf16(row[2 * i]) | std::uint32_t{f32_to_bf16(row[2 * i + 1])} << 16;
    if (x.cols % 2 == 1) out[x.cols / 2] = f32_to_bf16(row[x.cols - 1]);
  }
}

double brain_value(const Encoding&, const void* memory, i64 token, i64 col) {
  const BrainRows& rows = *static_cast<const BrainRows*>(memory);
  return bf16_to_f32(static_cast<std::uint16_t>(rows.pairs[token * rows.pairs_per_row + col / 2] >> 16 * (col % 2)));
}

// Floats that are not the caller's, because they are transformed: the head is what kernels of floats read.
constexpr i64 kFloatHead = 64;
i64 kept_float_bytes(const Encoding&, i64 tokens, i64 cols) { return kFloatHead + round_up<i64>(tokens * cols * 4, 64); }
void prepare_kept_floats(const Encoding&, void* memory, i64 tokens, i64 cols) noexcept {
  new (memory) Matrix<const float>(reinterpret_cast<const float*>(static_cast<std::byte*>(memory) + kFloatHead), tokens, cols);
}
void keep_floats(const Encoding&, Isa, Matrix<const float> x, i64 first, i64 last, void* memory) noexcept {
  auto* rows = reinterpret_cast<float*>(static_cast<std::byte*>(memory) + kFloatHead);
  for (i64 t = first; t < last; t++) std::copy_n(x.row(t), x.cols, rows + t * x.cols);
}
double kept_float(const Encoding&, const void* memory, i64 token, i64 col) {
  return (*static_cast<const Matrix<const float>*>(memory))(token, col);
}

constexpr Encoding::Kind kKeptFloats = {kept_float_bytes, prepare_kept_floats, keep_floats, kept_float};
constexpr Encoding::Kind kBrain = {brain_bytes, prepare_brain, encode_brain, brain_value};
constexpr Encoding::Kind kFloats = {[](const Encoding&, i64, i64) -> i64 { return 0; }, [](const Encoding&, void*, i64, i64) noexcept {},
                                    [](const Encoding&, Isa, Matrix<const float>, i64, i64, void*) noexcept {}, nullptr};
constexpr Encoding::Kind kInts = {int_bytes, prepare_ints, encode_ints, int_value};

std::vector<Encoding> make_table() {
  std::vector<Encoding> table = {{&kFloats, "f32", 0, false, kRowGroup, 1}};
  auto add = [&](std::string_view kind, int bits, bool bipolar) {
    for (i64 group : {i64{32}, i64{64}, i64{128}, i64{256}, kRowGroup}) {
      // 16-bit codes: 256 columns x 255 x 32767 just fits the int32 sums.
      if (bits > 8 && group == kRowGroup) continue;
      table.push_back({&kInts, fmt::format("{}{}.{}", kind, bits, group == kRowGroup ? "row" : fmt::format("g{}", group)), bits,
                       bipolar, group, 32});
    }
  };
  for (int bits : {8, 16, 7, 6, 5, 4, 3, 2}) add("int", bits, false);
  for (int bits : {1, 2, 3, 4}) add("bipolar", bits, true);
  for (int bits : {15, 16, 14, 13, 12}) table.push_back({&kWords, fmt::format("fixed{}.row", bits), bits, false, kRowGroup, 2});
  table.push_back({&kBrain, "bf16", 0, false, kRowGroup, 2});
  return table;
}

const std::vector<Encoding>& table() {
  static const std::vector<Encoding> kTable = make_table();
  return kTable;
}

// Every transform of every encoding.
const std::vector<Encoding>& transformed_table() {
  static const std::vector<Encoding> kTable = [] {
    std::vector<Encoding> rows;
    for (const TransformRow& transform : transforms())
      for (const Encoding& plain : table()) {
        Encoding& row = rows.emplace_back(plain);
        if (plain.kind == &kFloats) row.kind = &kKeptFloats;
        row.name = fmt::format("{}/{}", transform.name, plain.name);
        row.transform = &transform;
        row.of_transformed = &plain;
      }
    return rows;
  }();
  return kTable;
}

}  // namespace

std::span<const Encoding> encodings() { return table(); }

const Encoding& encoding(std::string_view name) {
  std::string known;
  for (const Encoding& row : encodings()) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + row.name;
  }
  if (std::size_t slash = name.find('/'); slash != name.npos) return transformed(encoding(name.substr(slash + 1)), &transform(name.substr(0, slash)));
  fail(Fault::usage, "unknown encoding of activations '{}': expected one of {}, or TRANSFORM/ENCODING", name, known);
}

const Encoding& transformed(const Encoding& plain, const TransformRow* transform) {
  CHECK(plain.transform == nullptr);
  if (!transform) return plain;
  for (const Encoding& row : transformed_table())
    if (row.transform == transform && row.of_transformed == &plain) return row;
  CHECK(false);
}

bool Encoding::fits(i64 cols) const {
  if (!transform) return true;
  return transform->has_parameters() ? bound && bound_cols == cols : transform->fits(cols);
}

const Transform* Encoding::transform_for(i64 cols) const {
  if (!transform) return nullptr;
  CHECK(fits(cols));
  return bound ? bound : &transform_of(*transform, cols);
}

const Encoding& with_parameters(const Encoding& e, i64 cols, std::span<const float> parameters) {
  CHECK(e.transform && e.transform->has_parameters() && !e.bound);
  const Transform& bound = transform_of(*e.transform, cols, parameters);
  static std::mutex making;
  static std::map<std::pair<const Encoding*, const Transform*>, std::unique_ptr<const Encoding>> made;
  std::lock_guard lock(making);
  std::unique_ptr<const Encoding>& known = made[{&e, &bound}];
  if (!known) {
    auto fresh = std::make_unique<Encoding>(e);
    fresh->bound = &bound;
    fresh->bound_cols = cols;
    known = std::move(fresh);
  }
  return *known;
}

void Encoding::encode(Isa isa, Matrix<const float> x, i64 first, i64 last, void* memory) const noexcept {
  if (!transform) return kind->encode(*this, isa, x, first, last, memory);
  const Encoding* self = this;
  for (i64 t = first; t < last; t++) encode_token({&self, 1}, {&memory, 1}, isa, x, t);
}

namespace {

void encode_transformed(std::span<const Encoding* const> encodings, std::span<void* const> memories, Isa isa, const float* x, i64 cols, i64 t) noexcept {
  alignas(64) float turned[kMostTransformed + 16];  // more, that encoders may read
  const Transform* made = nullptr;
  for (std::size_t i = 0; i < encodings.size(); i++) {
    const Encoding& e = *encodings[i];
    if (!e.transform) continue;
    const Transform* transform = e.bound ? e.bound : &transform_of(*e.transform, cols);
    if (transform != made) transform->input(isa, x, turned);
    made = transform;
    e.kind->encode(e, isa, {turned, t + 1, e.outputs(cols), 0}, t, t + 1, memories[i]);  // stride 0: row t is this one
  }
}

}  // namespace

void encode_token(std::span<const Encoding* const> encodings, std::span<void* const> memories, Isa isa, Matrix<const float> x, i64 t) noexcept {
  bool any = false;
  for (std::size_t i = 0; i < encodings.size(); i++) {
    const Encoding& e = *encodings[i];
    if (e.transform) any = true;
    else e.kind->encode(e, isa, x, t, t + 1, memories[i]);
  }
  if (any) encode_transformed(encodings, memories, isa, x.row(t), x.cols, t);
}

const Encoding& float_input() { return table()[0]; }
const Encoding& int8_input() { return table()[1]; }

void decode_input(const Encoding& encoding, Isa isa, Matrix<const float> x, Matrix<double> out) {
  i64 bytes = encoding.bytes(x.rows, x.cols);
  Buffer<std::byte> memory(bytes);
  if (bytes > 0) {
    encoding.prepare(memory.data(), x.rows, x.cols);
    encoding.encode(isa, x, 0, x.rows, memory.data());
  }
  for (i64 t = 0; t < x.rows; t++)
    for (i64 c = 0; c < out.cols; c++) out(t, c) = bytes == 0 ? x(t, c) : encoding.kind->value(encoding, memory.data(), t, c);
}

}  // namespace bitkerf
