// Consumer "lookup": sums of four activations, looked up by four bits of a plane (T-MAC; LUT Tensor Core), for one token.
//
// prepare() makes 16 sums for every four columns, as unsigned numbers of ten bits: a byte `low` and a byte `high`, so
// that nothing is lost. Tables of a unit of 32 columns, 256 B:
//
//   low of columns 8b + 0..3: 16 B for each byte b = 0..3 of a row's word;  high of the same;  both of columns 8b + 4..7
//
// which is what VPERMB needs: 64 bytes of a plane are 16 rows x 4 bytes, and with b in its bits 4..5 a nibble is the
// index of its entry. 512 weights of one bit take 1 shift, 2 masks, 4 lookups, 2 dot products with ones and 2 additions
// of bytes. No int16 to overflow, no sum over rows.
namespace bitkerf {
namespace {

inline constexpr i64 kUnitTables = 256;
inline constexpr std::int32_t kTableOffset = 512;  // entries are 512 + sum of four codes, 4..1020

template <int kBits>
void lookup_one(const void* self, const std::byte* data, i64, const void* input, i64, i64 token, float* y) noexcept {
  const auto& v = *static_cast<const PlaneView*>(self);
  const IntRows x = *static_cast<const IntRows*>(input);
  const u8* panel = reinterpret_cast<const u8*>(data);
  const float* scale = x.scale + token * x.groups;
  const PanelScales<PlaneView> scales[2] = {{v, panel, 0}, {v, panel, 1}};
  F total[2] = {Lanes::zero(), Lanes::zero()}, sum[2] = {Lanes::zero(), Lanes::zero()};
  i64 group_end = std::min(x.group_units, x.units);
  for (i64 unit = 0; unit < v.units;) {
    const i64 units = std::min(v.span_units, v.units - unit);
    // Of one row, a span of 32 units adds at most 2 x 32 entries of 3 to a byte of `high`.
    I low[kBits][2], high[kBits][2];
#pragma GCC unroll 4
    for (int i = 0; i < kBits; i++) low[i][0] = low[i][1] = high[i][0] = high[i][1] = Lanes::all_int(0);
    const u8* words = panel + unit * 128;
    const u8* tables = x.tables + unit * kUnitTables;
    for (i64 u = 0; u < units; u++, words += 128, tables += kUnitTables) {
#pragma GCC unroll 4
      for (int i = 0; i < kBits; i++)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) Lookup::add(Lanes::words(words + i * v.plane_bytes + 64 * h), tables, low[i][h], high[i][h]);
    }
    const std::int32_t minus = minus_sum_of<32>(x, token, unit, units, 0);
    const auto entries = static_cast<std::int32_t>(8 * units * kTableOffset);
    const I start = Lanes::all_int(minus * v.offset - ((((1 << kBits) - 1) * entries) << v.shift));
    for (int h = 0; h < 2; h++) {
      I dot = Lanes::all_int(0);
#pragma GCC unroll 4
      for (int i = 0; i < kBits; i++) {
        dot = Lanes::add(dot, dot);
        dot = Lanes::add(dot, Lanes::add(low[i][h], Lanes::shl(Lookup::add_bytes(Lanes::all_int(0), high[i][h]), 8)));
      }
      if (v.shift) dot = Lanes::add(dot, dot);
      F d, m;
      scales[h].load(unit * 32 / v.group, d, m);
      sum[h] = add_span_of(v.has_minimum, v.late, sum[h], Lanes::add(start, dot), d, m, *scale, minus);
    }
    unit += units;
    if (unit == group_end) {
      if (v.late) {
        for (int h = 0; h < 2; h++) {
          total[h] = Lanes::fma(sum[h], Lanes::all(*scale), total[h]);
          sum[h] = Lanes::zero();
        }
      }
      scale++;
      group_end = std::min(group_end + x.group_units, x.units);
    }
  }
  for (int h = 0; h < 2; h++) Lanes::store(y + 16 * h, v.late ? total[h] : sum[h]);
}

inline void lookup_prepare(const void* input, i64 token) noexcept {
  const IntRows x = *static_cast<const IntRows*>(input);
  const std::int8_t* q = x.q + token * x.cols;
  for (i64 unit = 0; unit < x.units; unit++, q += 32)
    for (int b = 0; b < 8; b++) {
      u8* low = x.tables + unit * kUnitTables + b % 2 * 128 + b / 2 * 16;
      Lookup::sums(q + 4 * b, kTableOffset, low, low + 64);
    }
}

template <int kBits>
constexpr PanelKernels lookup_kernels() {
  PanelKernels kernels{"lookup", lookup_one<kBits>, nullptr, nullptr, {}, 1};
  kernels.prepare = lookup_prepare;
  return kernels;
}

constexpr PanelKernels kLookup[] = {lookup_kernels<1>(), lookup_kernels<2>(), lookup_kernels<3>(), lookup_kernels<4>()};  // by bits - 1

}  // namespace
}  // namespace bitkerf
