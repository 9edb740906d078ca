// Consumer "popcount": planes of weights and planes of activations, multiplied as bits (APT-LLM, ABQ-LLM).
//
// A level is u = sum over planes of 2^(p-1-i) W_i, shifted left by `shift`, minus `offset`. Of activations that are
//   two's complement   x = sum of +-2^(q-1-j) X_j, minus for j = 0:   u . x = sum +-2^.. ones(W_i AND X_j)
//   bipolar            x = 2 v - (2^q - 1), v = sum of 2^(q-1-j) X_j:  u . x = (2^p - 1) sum(v) - sum 2^.. ones(W_i XOR X_j)
// The second needs no sum over weights and no number of columns: W and X are both zero in padding. Both are exact in
// 32 bits: spans have at most 1024 columns of at most 8 + 4 bits.
//
// Pairs of planes go from the largest weight 2^(i+j) to the smallest, the sums doubling in between (Horner), so that
// any p x q needs no more registers than 1 x 1.
namespace bitkerf {
namespace {

// Adds to (kNegative: subtracts from) the sums of kTokens tokens x 32 rows the ones of a pair of planes over `units` units.
template <int kTokens, bool kXor, bool kNegative>
[[gnu::always_inline]] inline void add_pair(I (&sum)[kTokens][2], const u8* w, const std::uint32_t* x, i64 x_stride, i64 units) {
  if constexpr (Lanes::kByteCounts) {
    for (i64 u = 0; u < units;) {
      I count[kTokens][2];
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++) count[t][0] = count[t][1] = Lanes::all_int(0);
      for (const i64 end = std::min<i64>(u + 31, units); u < end; u++, w += 128) {
        const I w0 = Lanes::words(w), w1 = Lanes::words(w + 64);
#pragma GCC unroll Lanes::kUnroll
        for (int t = 0; t < kTokens; t++) {
          const I b = Lanes::all_int(static_cast<std::int32_t>(x[t * x_stride + u]));
          count[t][0] = Lanes::add_ones(count[t][0], kXor ? Lanes::differ(w0, b) : Lanes::both(w0, b));
          count[t][1] = Lanes::add_ones(count[t][1], kXor ? Lanes::differ(w1, b) : Lanes::both(w1, b));
        }
      }
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++)
#pragma GCC unroll Lanes::kUnroll
        for (int h = 0; h < 2; h++) {
          const I words = Lanes::sum_of_bytes(count[t][h]);
          sum[t][h] = kNegative ? Lanes::minus(sum[t][h], words) : Lanes::add(sum[t][h], words);
        }
    }
  } else {
    for (i64 u = 0; u < units; u++, w += 128) {
      const I w0 = Lanes::words(w), w1 = Lanes::words(w + 64);
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++) {
        const I b = Lanes::all_int(static_cast<std::int32_t>(x[t * x_stride + u]));
        const I b0 = kXor ? Lanes::differ(w0, b) : Lanes::both(w0, b), b1 = kXor ? Lanes::differ(w1, b) : Lanes::both(w1, b);
        if constexpr (kNegative) sum[t][0] = Lanes::subtract_ones(sum[t][0], b0), sum[t][1] = Lanes::subtract_ones(sum[t][1], b1);
        else sum[t][0] = Lanes::add_ones(sum[t][0], b0), sum[t][1] = Lanes::add_ones(sum[t][1], b1);
      }
    }
  }
}

// What the tile kernels read: the panel where it lies, and its scales as floats.
struct PopcountTile {
  const PlaneView* view;
  const u8* panel;
};

// Spans and float operations as in int_tile.inl, with the integers by planes. kStream: scales come from the panel.
template <int kTokens, bool kXor, bool kStream>
[[gnu::always_inline]] inline void popcount_spans(const PlaneView& v, const u8* panel, const float* d, const float* m, i64 first, i64 count,
                                                  const IntRows& x, i64 token, float* y, i64 y_stride) {
  const int p = v.bits, q = x.bits;
  i64 unit = first / 32;
  const i64 end = unit + count / 32;
  i64 group = unit / x.group_units, group_end = std::min((group + 1) * x.group_units, x.units);
  const float* scale = x.scale + token * x.groups + group;
  const bool continues = v.late ? x.groups == 1 && first > 0 : first > 0;

  // Sums wait in memory while the counts take the registers.
  alignas(64) float kept[kTokens][32];
  if constexpr (Lanes::kByteCounts) __builtin_memset(kept, 0, sizeof kept);  // GCC 12 warns otherwise; the first span does not read it
  const i64 begin = unit;
  while (unit < end) {
    const i64 units = std::min<i64>(v.span_units, end - unit);
    I dot[kTokens][2];
#pragma GCC unroll Lanes::kUnroll
    for (int t = 0; t < kTokens; t++) dot[t][0] = dot[t][1] = Lanes::all_int(0);
    for (int c = 0; c < p + q - 1; c++) {  // pairs of i + j == c
      if (c > 0) {
#pragma GCC unroll Lanes::kUnroll
        for (int t = 0; t < kTokens; t++)
#pragma GCC unroll Lanes::kUnroll
          for (int h = 0; h < 2; h++) dot[t][h] = Lanes::add(dot[t][h], dot[t][h]);
      }
      for (int i = std::max(0, c - q + 1); i <= std::min(c, p - 1); i++) {
        const u8* w = panel + i * v.plane_bytes + unit * 128;
        const std::uint32_t* bits = x.planes + (token * q + c - i) * x.units + unit;
        if (!kXor && i == c) add_pair<kTokens, kXor, true>(dot, w, bits, q * x.units, units);
        else add_pair<kTokens, kXor, false>(dot, w, bits, q * x.units, units);
      }
    }
    F df[2], mf[2];
#pragma GCC unroll Lanes::kUnroll
    for (int h = 0; h < 2; h++) {
      if constexpr (kStream) {
        PanelScales(v, panel, h).load(unit * 32 / v.group, df[h], mf[h]);
      } else {
        df[h] = Lanes::load(d + 16 * h);
        mf[h] = v.has_minimum ? Lanes::load(m + 16 * h) : Lanes::zero();
      }
    }
    const auto columns = static_cast<std::int32_t>(std::min(32 * (unit + units), v.cols) - 32 * unit);
    const bool fresh = unit == begin, last = unit + units == end, ends = unit + units == group_end;
#pragma GCC unroll Lanes::kUnroll
    for (int t = 0; t < kTokens; t++) {
      const std::int32_t minus = minus_sum_of<32>(x, token + t, unit, units, 0);
      std::int32_t start = minus * v.offset;
      if constexpr (kXor) start += (((1 << p) - 1) * ((((1 << q) - 1) * columns - minus) / 2)) << v.shift;
      const I from = Lanes::all_int(start);
#pragma GCC unroll Lanes::kUnroll
      for (int h = 0; h < 2; h++) {
        I s = v.shift ? Lanes::add(dot[t][h], dot[t][h]) : dot[t][h];
        s = kXor ? Lanes::minus(from, s) : Lanes::add(from, s);
        float* out = y + t * y_stride + 16 * h;
        F sum = !fresh ? Lanes::load(kept[t] + 16 * h) : continues ? Lanes::load(out) : Lanes::zero();
        sum = add_span_of(v.has_minimum, v.late, sum, s, df[h], mf[h], scale[t * x.groups], minus);
        if (v.late && ends) {
          Lanes::store(out, Lanes::fma(sum, Lanes::all(scale[t * x.groups]), group == 0 ? Lanes::zero() : Lanes::load(out)));
          sum = Lanes::zero();
        } else if (last) {
          Lanes::store(out, sum);
        }
        if (!last) Lanes::store(kept[t] + 16 * h, sum);
      }
    }
    d += 32;
    m += 32;
    unit += units;
    if (ends) {
      group++;
      scale++;
      group_end = std::min(group_end + x.group_units, x.units);
    }
  }
}

template <bool kXor>
void popcount_one(const void* self, const std::byte* panel, i64, const void* input, i64, i64 token, float* y) noexcept {
  const auto& v = *static_cast<const PlaneView*>(self);
  popcount_spans<1, kXor, true>(v, reinterpret_cast<const u8*>(panel), nullptr, nullptr, 0, 32 * v.units, *static_cast<const IntRows*>(input),
                                token, y, 0);
}

inline i64 popcount_tile_bytes(i64 count) { return 64 + count / 32 * 32 * 4 * 2; }

inline const void* popcount_unpack(const void* self, const std::byte* data, i64, i64 first, i64 count, void* scratch) noexcept {
  const auto& v = *static_cast<const PlaneView*>(self);
  const PopcountTile tile{&v, reinterpret_cast<const u8*>(data)};
  __builtin_memcpy(scratch, &tile, sizeof tile);
  float* d = reinterpret_cast<float*>(static_cast<u8*>(scratch) + 64);
  const i64 spans = tile_spans(count, 32, v.span_units);
  float* m = d + spans * 32;
  for (int half = 0; half < 2; half++) {
    const PanelScales scales(v, tile.panel, half);
    for (i64 span = 0; span < spans; span++) {
      F scale, minimum;
      scales.load((first + 32 * v.span_units * span) / v.group, scale, minimum);
      Lanes::store(d + span * 32 + 16 * half, scale);
      if (v.has_minimum) Lanes::store(m + span * 32 + 16 * half, minimum);
    }
  }
  return scratch;
}

template <int kTokens, bool kXor>
void popcount_tile(const void* data, i64, i64 first, i64 count, const void* input, i64, i64 token, float* y, i64 y_stride) noexcept {
  PopcountTile tile;
  __builtin_memcpy(&tile, data, sizeof tile);
  const PlaneView v = *tile.view;
  const float* d = reinterpret_cast<const float*>(static_cast<const u8*>(data) + 64);
  popcount_spans<kTokens, kXor, false>(v, tile.panel, d, d + tile_spans(count, 32, v.span_units) * 32, first, count,
                                       *static_cast<const IntRows*>(input), token, y, y_stride);
}

template <bool kXor, int kTokens>
constexpr void set_popcount_tiles(PanelKernels& kernels) {
  kernels.tile[kTokens] = popcount_tile<kTokens, kXor>;
  if constexpr (kTokens > 1) set_popcount_tiles<kXor, kTokens - 1>(kernels);
}

template <bool kXor>
constexpr PanelKernels popcount_kernels() {
  PanelKernels kernels{"popcount", popcount_one<kXor>, popcount_unpack, popcount_tile_bytes, {}, Lanes::kCountTokens};
  set_popcount_tiles<kXor, Lanes::kCountTokens>(kernels);
  return kernels;
}

constexpr PanelKernels kPopcount[] = {popcount_kernels<false>(), popcount_kernels<true>()};  // by bipolar activations

}  // namespace
}  // namespace bitkerf
