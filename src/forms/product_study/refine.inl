// One token at a time through the tiles of int_tile.inl: sums of integers are exact, and the float operations are those of
// int_tiles.inl, in its order. Included after int_tile.inl.
#include "forms/product_study/refine_kernels.h"

namespace bitkerf {
namespace {

struct Nibbles {
  alignas(64) std::int8_t high[32], low[32];
  std::int32_t high_sum, low_sum, low_squares;
  explicit Nibbles(const std::int8_t* x) : high_sum(0), low_sum(0), low_squares(0) {
    for (int i = 0; i < 32; i++) {
      int h = (x[i] + 8) >> 4;
      h = h > 7 ? 7 : h;
      const int l = x[i] - 16 * h;
      high[i] = static_cast<std::int8_t>(h);
      low[i] = static_cast<std::int8_t>(l);
      high_sum += h;
      low_sum += l;
      low_squares += l * l;
    }
  }
};

void add_up(std::int64_t* counter, std::int64_t n) { __atomic_fetch_add(counter, n, __ATOMIC_RELAXED); }

void refine_tile(const void* data, i64, i64 first, i64 count, const void* input, i64, i64 token, float* y, i64) noexcept {
  const RefineTile& t = *static_cast<const RefineTile*>(data);
  const RefineView& v = *t.view;
  const IntRows x = *static_cast<const IntRows*>(input);
  TileHead head;
  __builtin_memcpy(&head, t.tile, sizeof head);
  const i64 span_units = v.one_unit ? 1 : head.span_units;
  const u8* c = static_cast<const u8*>(t.tile) + kTileHead;
  const float* d = reinterpret_cast<const float*>(static_cast<const u8*>(t.tile) + tile_codes(count));
  const float* m = d + tile_spans(count, 32, head.span_units) * 32;
  const std::int8_t* q = x.q + token * x.cols + first;
  i64 unit = first / 32;
  const i64 end = unit + count / 32;
  i64 group = unit / x.group_units, group_end = std::min((group + 1) * x.group_units, x.units), refined = 0;
  const float* scale = x.scale + token * x.groups + group;
  const float* scaled_sum = x.scaled_sum + token * x.groups + group;
  const bool continues = v.late ? x.groups == 1 && first > 0 : first > 0;
  F sum[2];
  for (int h = 0; h < 2; h++) sum[h] = continues ? Lanes::load(y + 16 * h) : Lanes::zero();
  while (unit < end) {
    const i64 units = std::min<i64>(span_units, end - unit);
    I dot[2] = {Lanes::all_int(0), Lanes::all_int(0)};
    std::int32_t used = 0;  // sum of what was multiplied
    for (i64 u = 0; u < units; u++, q += 32, c += 32 * 32) {
      const Nibbles x4(q);
      const float size = *scale * __builtin_sqrtf(static_cast<float>(x4.low_squares) * (1.0f / 32)) * t.norms[unit + u];
      const bool refine = v.threshold == 0 || size > v.threshold;
      I high[2] = {Lanes::all_int(0), Lanes::all_int(0)};
#pragma GCC unroll Lanes::kUnroll
      for (int s = 0; s < 8; s++)
        for (int h = 0; h < 2; h++) high[h] = Lanes::template dot<8>(high[h], Lanes::bytes(c + 128 * s + 64 * h), x4.high + 4 * s);
      for (int h = 0; h < 2; h++) dot[h] = Lanes::add(dot[h], Lanes::shl(high[h], 4));
      used += 16 * x4.high_sum;
      if (refine) {
#pragma GCC unroll Lanes::kUnroll
        for (int s = 0; s < 8; s++)
          for (int h = 0; h < 2; h++) dot[h] = Lanes::template dot<8>(dot[h], Lanes::bytes(c + 128 * s + 64 * h), x4.low + 4 * s);
        used += x4.low_sum;
        refined++;
      }
      if (v.sizes) {
        std::uint32_t bits;
        __builtin_memcpy(&bits, &size, 4);
        add_up(v.sizes + (bits >> 20 & 2047), 1);
      }
    }
    float x_sum = 0;
    if (v.minimum) x_sum = v.late ? -static_cast<float>(minus_sum_of<32>(x, token, unit, units, 0)) : *scaled_sum;
    for (int h = 0; h < 2; h++) {
      dot[h] = Lanes::add(dot[h], Lanes::all_int(-used * head.offset));
      const F factor = Lanes::load(d + 16 * h), minimum = v.minimum ? Lanes::load(m + 16 * h) : Lanes::zero();
      if (v.late) sum[h] = v.minimum ? add_span<true, true>(sum[h], dot[h], factor, minimum, *scale, x_sum) : add_span<false, true>(sum[h], dot[h], factor, minimum, *scale, x_sum);
      else sum[h] = v.minimum ? add_span<true, false>(sum[h], dot[h], factor, minimum, *scale, x_sum) : add_span<false, false>(sum[h], dot[h], factor, minimum, *scale, x_sum);
    }
    d += 32;
    m += 32;
    unit += units;
    if (unit == group_end) {
      if (v.late)
        for (int h = 0; h < 2; h++) {
          float* out = y + 16 * h;
          Lanes::store(out, Lanes::fma(sum[h], Lanes::all(*scale), group == 0 ? Lanes::zero() : Lanes::load(out)));
          sum[h] = Lanes::zero();
        }
      group++;
      scale++;
      scaled_sum++;
      group_end = std::min(group_end + x.group_units, x.units);
    }
  }
  add_up(v.blocks, count / 32);
  add_up(v.refined, refined);
  if (v.late && (x.groups > 1 || unit == x.units)) return;
  for (int h = 0; h < 2; h++) Lanes::store(y + 16 * h, sum[h]);
}

const void* refine_unpack(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  const auto& v = *static_cast<const RefineView*>(self);
  auto* t = static_cast<RefineTile*>(scratch);
  t->view = &v;
  t->tile = v.inner->unpack(v.inner_data, panel, cols, first, count, static_cast<u8*>(scratch) + kRefineHead);
  t->norms = v.norms + (panel - v.first_panel) / v.panel_bytes * v.units;
  return t;
}

constexpr i64 most_tile_bytes(i64 count) { return kRefineHead + tile_codes(count) + count / 16 * 32 * 4 * 2; }
i64 refine_bytes(i64 count) { return most_tile_bytes(count); }

void refine_one(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  alignas(64) std::byte tile[most_tile_bytes(kPassCols)];
  const i64 padded = (cols + 31) / 32 * 32;
  for (i64 c = 0; c < padded; c += kPassCols) {
    const i64 count = std::min(kPassCols, padded - c);
    refine_tile(refine_unpack(self, panel, padded, c, count, tile), padded, c, count, input, tokens, token, y, 32);
  }
}

void refine_norms(const RefineView& v, const std::byte* panel, i64 cols, float* out) noexcept {
  alignas(64) std::byte scratch[most_tile_bytes(kPassCols)];
  for (i64 col = 0; col < cols; col += kPassCols) {
    const i64 count = std::min(kPassCols, cols - col);
    const void* tile = v.inner->unpack(v.inner_data, panel, cols, col, count, scratch);
    TileHead head;
    __builtin_memcpy(&head, tile, sizeof head);
    const i64 span_units = v.one_unit ? 1 : head.span_units;
    const u8* c = static_cast<const u8*>(tile) + kTileHead;
    const float* d = reinterpret_cast<const float*>(static_cast<const u8*>(tile) + tile_codes(count));
    for (i64 unit = 0; unit < count / 32; unit++) {
      double squares = 0;
      for (i64 i = 0; i < 32 * 32; i++) {
        const double w = double{d[unit / span_units * 32 + i / 4 % 32]} * (c[unit * 32 * 32 + i] - head.offset);
        squares += w * w;
      }
      out[col / 32 + unit] = static_cast<float>(__builtin_sqrt(squares));
    }
  }
}

bool refine_reads(const PanelKernels& kernels, RefineView& view) noexcept {
  if (!kernels.unpack || kernels.tile_bytes(kPassCols) > most_tile_bytes(kPassCols) - kRefineHead) return false;
  for (int bits = 7; bits <= 8; bits++)
    for (int minimum = 0; minimum < 2; minimum++)
      for (int sums = 0; sums < 4; sums++)
        if (Lanes::tiles({32, minimum == 1, bits, sums}).tile[1] == kernels.tile[1]) {
          view.minimum = minimum == 1, view.late = sums >= 2, view.one_unit = sums == 0 || sums == 2;
          return true;
        }
  return false;
}

const RefineKernels& refine_kernels() {
  static constexpr RefineKernels kAll = {{"refine", refine_one, refine_unpack, refine_bytes, {nullptr, refine_tile}, 1}, refine_norms, refine_reads};
  return kAll;
}

}  // namespace
}  // namespace bitkerf
