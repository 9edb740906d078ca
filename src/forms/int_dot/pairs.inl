// Levels of 15 bits (u = 256 high + low, both unsigned bytes): two dot products per step. The int32 sums hold because
// |level| <= 16383 (form.cc), activations are of at most 8 bits and a span ends after kPassCols columns:
// 16383 x 127 x 1024 < 2^31 (kPassCols <= 1024). A tile: head, 32 rows x `count` columns as [step][low: 32 rows x 4][high: 32 rows x 4], then
// d as [span][32] floats.
namespace bitkerf {
namespace {

constexpr i64 pair_codes(i64 count) { return kTileHead + count * 64; }

template <bool kLate>
[[gnu::always_inline]] inline F add_pair(F sum, I low, I high, F d, float scale) {
  return add_span<false, kLate>(sum, Lanes::add(low, Lanes::shl(high, 8)), d, Lanes::zero(), scale, 0);
}

template <int kTokens, int kPart, bool kLate>
void pair_tile(const void* data, i64 cols, i64 first, i64 count, const void* input, i64 tokens, i64 token, float* y,
               i64 y_stride) noexcept {
  const IntRows x = *static_cast<const IntRows*>(input);
  constexpr int kParts = 32 / kPart;
  TileHead head;
  __builtin_memcpy(&head, data, sizeof head);
  const u8* c = static_cast<const u8*>(data) + kTileHead;
  const float* d = reinterpret_cast<const float*>(static_cast<const u8*>(data) + pair_codes(count));
  const std::int8_t* q = x.q + token * x.cols + first;
  i64 unit = first / 32;
  const i64 end = unit + count / 32;
  i64 group = unit / x.group_units, group_end = std::min((group + 1) * x.group_units, x.units);
  const float* scale = x.scale + token * x.groups + group;
  const bool continues = kLate ? x.groups == 1 && first > 0 : first > 0;
  F sum[kTokens][2];
  for (int t = 0; t < kTokens; t++)
    for (int h = 0; h < 2; h++) sum[t][h] = continues ? Lanes::load(y + t * y_stride + 16 * h) : Lanes::zero();
  while (unit < end) {
    const i64 units = kPart == 16 ? 1 : std::min<i64>(head.span_units, end - unit);
    for (int part = 0; part < kParts; part++, d += 32) {
      I low[kTokens][2], high[kTokens][2];
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++) {
        low[t][0] = low[t][1] = Lanes::all_int(minus_sum_of<kPart>(x, token + t, unit, units, part) * head.offset);
        high[t][0] = high[t][1] = Lanes::all_int(0);
      }
      for (i64 u = 0; u < units; u++) {
#pragma GCC unroll Lanes::kUnroll
        for (int s = 0; s < kPart / 4; s++, c += 256) {
          B w[4] = {Lanes::bytes(c), Lanes::bytes(c + 64), Lanes::bytes(c + 128), Lanes::bytes(c + 192)};
#pragma GCC unroll Lanes::kUnroll
          for (int t = 0; t < kTokens; t++) {
            const std::int8_t* v = q + t * x.cols + 32 * u + part * kPart + 4 * s;
#pragma GCC unroll Lanes::kUnroll
            for (int h = 0; h < 2; h++) {
              low[t][h] = Lanes::template dot<8>(low[t][h], w[h], v);
              high[t][h] = Lanes::template dot<7>(high[t][h], w[2 + h], v);
            }
          }
        }
      }
#pragma GCC unroll Lanes::kUnroll
      for (int t = 0; t < kTokens; t++)
#pragma GCC unroll Lanes::kUnroll
        for (int h = 0; h < 2; h++)
          sum[t][h] = add_pair<kLate>(sum[t][h], low[t][h], high[t][h], Lanes::load(d + 16 * h), scale[t * x.groups]);
    }
    unit += units;
    q += 32 * units;
    if (unit == group_end) {
      if constexpr (kLate) {
        for (int t = 0; t < kTokens; t++)
          for (int h = 0; h < 2; h++) {
            float* out = y + t * y_stride + 16 * h;
            Lanes::store(out, Lanes::fma(sum[t][h], Lanes::all(scale[t * x.groups]), group == 0 ? Lanes::zero() : Lanes::load(out)));
            sum[t][h] = Lanes::zero();
          }
      }
      group++;
      scale++;
      group_end = std::min(group_end + x.group_units, x.units);
    }
  }
  if (kLate && (x.groups > 1 || unit == x.units)) return;
  for (int t = 0; t < kTokens; t++)
    for (int h = 0; h < 2; h++) Lanes::store(y + t * y_stride + 16 * h, sum[t][h]);
}

// Source::pairs(view, panel, unit, half, low, high): eight steps.
template <class Source, int kPart>
void pair_one(const void* self, const std::byte* data, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  const auto& v = *static_cast<const typename Source::View*>(self);
  const IntRows x = *static_cast<const IntRows*>(input);
  const u8* panel = reinterpret_cast<const u8*>(data);
  const std::int8_t* q = x.q + token * x.cols;
  const float* scale = x.scale + token * x.groups;
  constexpr int kParts = 32 / kPart;
  const PanelScales<typename Source::View> scales[2] = {{v, panel, 0}, {v, panel, 1}};
  F total[2] = {Lanes::zero(), Lanes::zero()}, sum[2] = {Lanes::zero(), Lanes::zero()};
  i64 group_end = std::min(x.group_units, x.units);
  for (i64 unit = 0; unit < v.units;) {
    const i64 units = std::min(v.span_units, v.units - unit);
    for (int half = 0; half < 2; half++) {
      I low[kParts], high[kParts];
      for (int part = 0; part < kParts; part++) {
        low[part] = Lanes::all_int(minus_sum_of<kPart>(x, token, unit, units, part) * v.offset);
        high[part] = Lanes::all_int(0);
      }
      for (i64 u = unit; u < unit + units; u++) {
        B w[8], top[8];
        Source::pairs(v, panel, u, half, w, top);
#pragma GCC unroll Lanes::kUnroll
        for (int s = 0; s < 8; s++) {
          const int part = 4 * s / kPart;
          low[part] = Lanes::template dot<8>(low[part], w[s], q + 32 * u + 4 * s);
          high[part] = Lanes::template dot<7>(high[part], top[s], q + 32 * u + 4 * s);
        }
      }
      for (int part = 0; part < kParts; part++) {
        F d, m;
        scales[half].load(kPart == 16 ? 2 * unit + part : unit * 32 / v.group, d, m);
        sum[half] = v.late ? add_pair<true>(sum[half], low[part], high[part], d, *scale) : add_pair<false>(sum[half], low[part], high[part], d, *scale);
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

template <int kPart>
i64 pair_tile_bytes(i64 count) { return pair_codes(count) + count / kPart * 32 * 4; }

template <class Source, int kPart>
const void* pair_unpack(const void* self, const std::byte* data, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  const auto& v = *static_cast<const typename Source::View*>(self);
  const u8* panel = reinterpret_cast<const u8*>(data);
  u8* out = start_tile(scratch, {v.offset, static_cast<std::int32_t>(v.span_units)});
  float* d = reinterpret_cast<float*>(static_cast<u8*>(scratch) + pair_codes(count));
  for (i64 unit = 0; unit < count / 32; unit++) {
    for (int half = 0; half < 2; half++) {
      B low[8], high[8];
      Source::pairs(v, panel, first / 32 + unit, half, low, high);
      for (int s = 0; s < 8; s++) {
        Lanes::store_bytes(out + (unit * 8 + s) * 256 + 64 * half, low[s]);
        Lanes::store_bytes(out + (unit * 8 + s) * 256 + 128 + 64 * half, high[s]);
      }
    }
  }
  for (int half = 0; half < 2; half++) {
    const PanelScales scales(v, panel, half);
    for (i64 span = 0; span < tile_spans(count, kPart, v.span_units); span++) {
      const i64 col = first + (kPart == 16 ? 16 * span : 32 * v.span_units * span);
      F scale, minimum;
      scales.load(col / v.group, scale, minimum);
      Lanes::store(d + span * 32 + 16 * half, scale);
    }
  }
  return scratch;
}

template <class Source, int kPart, bool kLate>
constexpr PanelKernels pair_kernels() {
  PanelKernels kernels{"shuffle2", pair_one<Source, kPart>, pair_unpack<Source, kPart>, pair_tile_bytes<kPart>, {}, 1};
  // Six registers per token: two sums of low bytes, two of high ones, two of floats.
  constexpr int kTokens = Lanes::kTokens >= 6 ? 4 : 1;
  kernels.tile[1] = pair_tile<1, kPart, kLate>;
  if constexpr (kTokens >= 4) {
    kernels.tile[2] = pair_tile<2, kPart, kLate>;
    kernels.tile[3] = pair_tile<3, kPart, kLate>;
    kernels.tile[4] = pair_tile<4, kPart, kLate>;
  }
  kernels.max_tokens = kTokens;
  return kernels;
}

}  // namespace
}  // namespace bitkerf
