// From packed units of 32 columns to the integer product, for any form whose units become unsigned bytes in registers.
// Included after int_tile.inl. A Source says how:
//
//   using View = ...;  a UnitView (unit_view.h)
//   static void codes(const View& view, const u8* panel, i64 unit, int half, B* codes);   // eight steps of 16 rows
namespace bitkerf {
namespace {

// What the scales (or minima) of 16 rows are multiples of, read once for many groups.
struct RowScale {
  F unit, start;  // value = stored byte * unit + start: exact, as bytes times float16 are
};
[[gnu::always_inline]] inline RowScale row_scale(ScaleKind kind, const u8* p) {
  if (kind != ScaleKind::u8 && kind != ScaleKind::i8) return {Lanes::zero(), Lanes::zero()};
  F half = Lanes::from_half(reinterpret_cast<const std::uint16_t*>(p));
  if (kind == ScaleKind::u8) return {Lanes::mul(half, Lanes::all(0x1p-8f)), Lanes::zero()};
  return {Lanes::mul(half, Lanes::all(0x1p-7f)), Lanes::mul(half, Lanes::all(-1))};
}

// 16 scales at p.
[[gnu::always_inline]] inline F load_scale(ScaleKind kind, const u8* p, const RowScale& row) {
  switch (kind) {
    case ScaleKind::f32: return Lanes::load(reinterpret_cast<const float*>(p));
    case ScaleKind::f16: return Lanes::from_half(reinterpret_cast<const std::uint16_t*>(p));
    case ScaleKind::bf16: return Lanes::bits_to_float(Lanes::shl(Lanes::from_u16(reinterpret_cast<const std::uint16_t*>(p)), 16));
    case ScaleKind::e8m0: {
      // 2^(e - 127) as a product of two normal powers: exact for e = 0 too.
      I e = Lanes::from_u8(p);
      F low = Lanes::bits_to_float(Lanes::shl(Lanes::sub(Lanes::shr(e, 1), -64), 23));
      F high = Lanes::bits_to_float(Lanes::shl(Lanes::sub(Lanes::shr(Lanes::sub(e, -1), 1), -63), 23));
      return Lanes::mul(low, high);
    }
    case ScaleKind::u8:
    case ScaleKind::i8: return Lanes::fma(Lanes::to_float(Lanes::from_u8(p)), row.unit, row.start);
    case ScaleKind::e4m3: break;
  }
  // Sign-free E4M3: as float bits the value is 2^-120 of what it should be, subnormals included.
  return Lanes::mul(Lanes::bits_to_float(Lanes::shl(Lanes::from_u8(p), 20)), Lanes::all(0x1p120f));
}

inline constexpr i64 kScaleBytes[] = {4, 2, 2, 1, 1, 1, 1};  // by ScaleKind

// Scales of 16 rows of a panel. Rounded in this order everywhere.
template <class View>
struct PanelScales {
  const View& v;
  const u8 *scales, *minima;
  RowScale row, minimum_row;

  [[gnu::always_inline]] PanelScales(const View& v, const u8* panel, int half)
      : v(v), scales(panel + v.scales_at + 16 * half * bytes(v.scale)), minima(panel + v.minima_at + 16 * half * bytes(v.minimum)),
        row(row_scale(v.scale, panel + v.row_scales_at + 32 * half)),
        minimum_row(v.minima_at >= 0 ? row_scale(v.minimum, panel + v.row_scales_at + 64 + 32 * half) : RowScale{Lanes::zero(), Lanes::zero()}) {}

  // Factor and minimum of a group.
  [[gnu::always_inline]] void load(i64 group, F& d, F& m) const {
    F scale = load_scale(v.scale, scales + group * 32 * bytes(v.scale), row);
    d = Lanes::mul(scale, Lanes::all(v.factor));
    m = Lanes::zero();
    if (v.has_minimum) {
      if (v.minima_at >= 0) m = load_scale(v.minimum, minima + group * 32 * bytes(v.minimum), minimum_row);
      m = Lanes::fma(scale, Lanes::all(v.middle), m);
    }
  }
  static i64 bytes(ScaleKind kind) { return kScaleBytes[static_cast<int>(kind)]; }
};

[[gnu::always_inline]] inline F add_span_of(bool minimum, bool late, F sum, I dot, F d, F m, float scale, std::int32_t minus) {
  const float codes = -static_cast<float>(minus);
  if (late) return minimum ? add_span<true, true>(sum, dot, d, m, scale, codes) : add_span<false, true>(sum, dot, d, m, scale, codes);
  return minimum ? add_span<true, false>(sum, dot, d, m, scale, scale * codes) : add_span<false, false>(sum, dot, d, m, scale, scale * codes);
}

// The work per line is too long for the processor to have many loads on their way by itself, and its prefetchers stop at
// pages. Codes that lie together are asked for a little ahead, into L1; what a panel's kernel reads from several places at
// once (scales, planes) when the panel before is multiplied, into L2, which holds it.
[[gnu::always_inline]] inline void ask_ahead(const UnitView& v, const u8* panel, i64 unit) {
  i64 at = unit * v.unit_bytes + kAhead;
  if (at >= v.scales_at) at += v.panel_bytes - v.scales_at;  // codes of the next panel
  for (i64 line = 0; line < v.unit_bytes; line += 64) __builtin_prefetch(panel + at + line, 0, 3);
  const u8* next = panel + v.panel_bytes + v.ahead_at + unit * v.ahead_bytes;
  for (i64 line = 0; line < v.ahead_bytes; line += 64) __builtin_prefetch(next + line, 0, 2);
}

// How sums end is asked at run time, once per span: few instances compile in reasonable time.
template <class Source, int kPart>
void units_one(const void* self, const std::byte* data, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  const auto& v = *static_cast<const typename Source::View*>(self);
  const IntRows x = *static_cast<const IntRows*>(input);
  const u8* panel = reinterpret_cast<const u8*>(data);
  const std::int8_t* q = x.q + token * x.cols;
  const float* scale = x.scale + token * x.groups;
  const PanelScales<typename Source::View> scales[2] = {{v, panel, 0}, {v, panel, 1}};
  F total[2] = {Lanes::zero(), Lanes::zero()}, sum[2] = {Lanes::zero(), Lanes::zero()};
  i64 group_end = std::min(x.group_units, x.units);
  for (i64 unit = 0; unit < v.units;) {
    const i64 units = std::min(v.span_units, v.units - unit);
    if constexpr (kPart == 32) {
      F d[2], m[2];
      // Two chains per half, of 4 steps a unit: a product waits for the one before (4 cycles), and in one chain a long span
      // would take 32 cycles a unit, twice what a core needs to keep up with its share of memory.
      I dot[2], odd[2];
      std::int32_t minus = minus_sum_of<32>(x, token, unit, units, 0);
      for (int half = 0; half < 2; half++) {
        scales[half].load(unit * 32 / v.group, d[half], m[half]);
        dot[half] = Lanes::all_int(minus * v.offset);
        odd[half] = Lanes::all_int(0);
      }
      for (i64 u = unit; u < unit + units; u++) {
        ask_ahead(v, panel, u);
#pragma GCC unroll Lanes::kUnroll
        for (int half = 0; half < 2; half++) {
          B codes[8];
          Source::codes(v, panel, u, half, codes);
#pragma GCC unroll Lanes::kUnroll
          for (int s = 0; s < 8; s += 2) {
            dot[half] = Lanes::template dot<8>(dot[half], codes[s], q + 32 * u + 4 * s);
            odd[half] = Lanes::template dot<8>(odd[half], codes[s + 1], q + 32 * u + 4 * s + 4);
          }
        }
      }
      for (int half = 0; half < 2; half++) {
        dot[half] = Lanes::add(dot[half], odd[half]);
        sum[half] = add_span_of(v.has_minimum, v.late, sum[half], dot[half], d[half], m[half], *scale, minus);
      }
    } else {
      for (int half = 0; half < 2; half++) {
        B codes[8];
        Source::codes(v, panel, unit, half, codes);
        for (int part = 0; part < 2; part++) {
          F d, m;
          scales[half].load(2 * unit + part, d, m);
          std::int32_t minus = minus_sum_of<16>(x, token, unit, 1, part);
          I dot = Lanes::all_int(minus * v.offset);
#pragma GCC unroll Lanes::kUnroll
          for (int s = 0; s < 4; s++) dot = Lanes::template dot<8>(dot, codes[4 * part + s], q + 32 * unit + 16 * part + 4 * s);
          sum[half] = add_span_of(v.has_minimum, v.late, sum[half], dot, d, m, *scale, minus);
        }
      }
    }
    unit += units;
    if (unit == group_end) {
      if (v.late) {
        for (int half = 0; half < 2; half++) {
          total[half] = Lanes::fma(sum[half], Lanes::all(*scale), total[half]);
          sum[half] = Lanes::zero();
        }
      }
      scale++;
      group_end = std::min(group_end + x.group_units, x.units);
    }
  }
  for (int half = 0; half < 2; half++) Lanes::store(y + 16 * half, v.late ? total[half] : sum[half]);
}

inline i64 units_tile_bytes(i64 count) { return tile_codes(count) + count / 16 * 32 * 4 * 2; }  // at most

template <class Source>
const void* units_unpack(const void* self, const std::byte* data, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  const auto& v = *static_cast<const typename Source::View*>(self);
  const u8* panel = reinterpret_cast<const u8*>(data);
  u8* out = start_tile(scratch, {v.offset, static_cast<std::int32_t>(v.span_units)});
  float* d = reinterpret_cast<float*>(static_cast<u8*>(scratch) + tile_codes(count));
  const int part = v.group == 16 ? 16 : 32;
  const i64 spans = tile_spans(count, part, v.span_units), span_cols = part == 16 ? 16 : 32 * v.span_units;
  float* m = d + spans * 32;
  for (i64 unit = 0; unit < count / 32; unit++) {
    for (int half = 0; half < 2; half++) {
      B codes[8];
      Source::codes(v, panel, first / 32 + unit, half, codes);
#pragma GCC unroll Lanes::kUnroll
      for (int s = 0; s < 8; s++) Lanes::store_bytes(out + (unit * 8 + s) * 128 + 64 * half, codes[s]);
    }
  }
  for (int half = 0; half < 2; half++) {
    const PanelScales scales(v, panel, half);
    for (i64 span = 0; span < spans; span++) {
      F scale, minimum;
      scales.load((first + span * span_cols) / v.group, scale, minimum);
      Lanes::store(d + span * 32 + 16 * half, scale);
      if (v.has_minimum) Lanes::store(m + span * 32 + 16 * half, minimum);
    }
  }
  return scratch;
}

// One token through tiles of a few columns: for the kinds of activations that deserve no streaming kernel.
template <auto kUnpack, int kPart, bool kMinimum, int kLevelBits, int kSums>
void one_by_tiles(const void* self, const std::byte* data, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  constexpr i64 kCols = 256;  // a multiple of every group of activations
  alignas(64) std::byte tile[kTileHead + kCols * 32 + kCols / 16 * 32 * 4 * 2];
  const TileKernel kernel = Lanes::tiles({kPart, kMinimum, kLevelBits, kSums}).tile[1];
  const i64 padded = (cols + 31) / 32 * 32;
  for (i64 c = 0; c < padded; c += kCols) {
    const i64 count = std::min(kCols, padded - c);
    kernel(kUnpack(self, data, padded, c, count, tile), padded, c, count, input, tokens, token, y, 32);
  }
}

// kSums: UnitSums::kind.
template <class Source, int kPart, bool kMinimum, int kLevelBits, int kSums>
PanelKernels units_kernels(std::string_view name) {
  PanelKernels kernels{name, units_one<Source, kPart>, units_unpack<Source>, units_tile_bytes, {}, 1};
  set_tiles<kPart, kMinimum, kLevelBits, kSums>(kernels);
  if constexpr (kSums == 4) kernels.one = one_by_tiles<units_unpack<Source>, kPart, kMinimum, kLevelBits, kSums>;
  return kernels;
}

}  // namespace
}  // namespace bitkerf
