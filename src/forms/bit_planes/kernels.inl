// Consumer "expand": planes become unsigned bytes in registers, then one int8 dot product.
namespace bitkerf {
namespace {

[[gnu::always_inline]] inline F load_scale(PlaneScale type, const u8* p) {
  switch (type) {
    case PlaneScale::f32: return Lanes::load(reinterpret_cast<const float*>(p));
    case PlaneScale::f16: return Lanes::from_half(reinterpret_cast<const std::uint16_t*>(p));
    case PlaneScale::bf16: return Lanes::bits_to_float(Lanes::shl(Lanes::from_u16(reinterpret_cast<const std::uint16_t*>(p)), 16));
    case PlaneScale::e8m0: {
      // 2^(e - 127) as a product of two normal powers: exact for e = 0 too.
      I e = Lanes::from_u8(p);
      F low = Lanes::bits_to_float(Lanes::shl(Lanes::sub(Lanes::shr(e, 1), -64), 23));
      F high = Lanes::bits_to_float(Lanes::shl(Lanes::sub(Lanes::shr(Lanes::sub(e, -1), 1), -63), 23));
      return Lanes::mul(low, high);
    }
    case PlaneScale::e4m3: break;
  }
  // Sign-free E4M3: as float bits the value is 2^-120 of what it should be, subnormals included.
  return Lanes::mul(Lanes::bits_to_float(Lanes::shl(Lanes::from_u8(p), 20)), Lanes::all(0x1p120f));
}

inline constexpr i64 kScaleBytes[] = {4, 2, 2, 1, 1};  // by PlaneScale

// Factor and minimum of 16 rows of a group. Rounded in this order everywhere.
template <bool kMinimum>
[[gnu::always_inline]] inline void load_scales(const PlaneView& v, const u8* panel, i64 group, int half, F& d, F& m) {
  F scale = load_scale(v.scale, panel + v.scales_at + (group * 32 + 16 * half) * kScaleBytes[static_cast<int>(v.scale)]);
  d = Lanes::mul(scale, Lanes::all(v.factor));
  m = Lanes::zero();
  if constexpr (kMinimum) {
    m = v.minima_at >= 0 ? load_scale(v.minimum, panel + v.minima_at + (group * 32 + 16 * half) * kScaleBytes[static_cast<int>(v.minimum)]) : Lanes::zero();
    m = Lanes::fma(scale, Lanes::all(v.middle), m);
  }
}

template <int kBits, int kShift, bool kMinimum>
void planes_one(const void* self, const std::byte* data, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  const auto& v = *static_cast<const PlaneView*>(self);
  const Int8Rows x = *static_cast<const Int8Rows*>(input);
  const u8* panel = reinterpret_cast<const u8*>(data);
  const std::int8_t* q = x.q + token * x.cols;
  const float* scale = x.scale + token * x.groups;
  const bool by16 = v.group == 16;
  const float* scaled_sum = by16 ? x.scaled_sum16 + token * x.groups * 2 : x.scaled_sum + token * x.groups;
  const std::int32_t* minus_sum = by16 ? x.minus_sum16 + token * x.groups * 2 : x.minus_sum + token * x.groups;
  F sum[2] = {Lanes::zero(), Lanes::zero()}, d[2], m[2];
  i64 group = -1;
  for (i64 unit = 0; unit < v.units; unit++) {
    i64 now = unit * 32 / v.group;
    if (now != group && !by16) {
      group = now;
      for (int half = 0; half < 2; half++) load_scales<kMinimum>(v, panel, group, half, d[half], m[half]);
    }
    for (int half = 0; half < 2; half++) {
      B codes[8];
      Lanes::template expand<kBits, kShift>(panel + unit * 128 + 64 * half, v.plane_bytes, codes);
      for (int part = 0; part < (by16 ? 2 : 1); part++) {
        if (by16) load_scales<kMinimum>(v, panel, 2 * unit + part, half, d[half], m[half]);
        i64 at = by16 ? 2 * unit + part : unit;
        I dot = Lanes::all_int(minus_sum[at] * v.offset);
        if (by16) {
#pragma GCC unroll Lanes::kUnroll
          for (int s = 0; s < 4; s++) dot = Lanes::template dot<8>(dot, codes[4 * part + s], q + 32 * unit + 16 * part + 4 * s);
        } else {
#pragma GCC unroll Lanes::kUnroll
          for (int s = 0; s < 8; s++) dot = Lanes::template dot<8>(dot, codes[s], q + 32 * unit + 4 * s);
        }
        sum[half] = add_group<kMinimum>(sum[half], dot, d[half], m[half], scale[unit], scaled_sum[at]);
      }
    }
  }
  Lanes::store(y, sum[0]);
  Lanes::store(y + 16, sum[1]);
}

template <int kGroup, bool kMinimum>
i64 planes_tile_bytes(i64 count) { return tile_codes(count) + count / kGroup * 32 * 4 * (kMinimum ? 2 : 1); }

template <int kBits, int kShift, int kGroup, bool kMinimum>
const void* planes_unpack(const void* self, const std::byte* data, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  const auto& v = *static_cast<const PlaneView*>(self);
  const u8* panel = reinterpret_cast<const u8*>(data);
  u8* out = start_tile(scratch, v.offset);
  float* d = reinterpret_cast<float*>(static_cast<u8*>(scratch) + tile_codes(count));
  float* m = d + count / kGroup * 32;
  for (i64 unit = 0; unit < count / 32; unit++) {
    for (int half = 0; half < 2; half++) {
      B codes[8];
      Lanes::template expand<kBits, kShift>(panel + (first / 32 + unit) * 128 + 64 * half, v.plane_bytes, codes);
#pragma GCC unroll Lanes::kUnroll
      for (int s = 0; s < 8; s++) Lanes::store_bytes(out + (unit * 8 + s) * 128 + 64 * half, codes[s]);
      for (int part = 0; part < 32 / kGroup; part++) {
        F scale, minimum;
        load_scales<kMinimum>(v, panel, (first + unit * 32 + part * kGroup) / v.group, half, scale, minimum);
        i64 at = (unit * (32 / kGroup) + part) * 32 + 16 * half;
        Lanes::store(d + at, scale);
        if constexpr (kMinimum) Lanes::store(m + at, minimum);
      }
    }
  }
  return scratch;
}

// kShift 1: bipolar codes, whose levels are even numbers minus an odd offset.
template <int kBits, int kShift, int kGroup, bool kMinimum>
constexpr PanelKernels planes_kernels() {
  PanelKernels kernels{&kInt8Input, planes_one<kBits, kShift, kMinimum>, planes_unpack<kBits, kShift, kGroup, kMinimum>,
                       planes_tile_bytes<kGroup, kMinimum>, {}, Lanes::kTokens};
  set_tiles<kGroup, kMinimum, (kBits + kShift > 7 ? 8 : 7)>(kernels);
  return kernels;
}

// By [bits - 1][shift][group is 16][minimum]; 8 bits have no shift (they would not fit a byte).
template <int kBits>
constexpr void fill(PanelKernels (*out)[2][2]) {
  out[0][0][0] = planes_kernels<kBits, 0, 32, false>();
  out[0][0][1] = planes_kernels<kBits, 0, 32, true>();
  out[0][1][0] = planes_kernels<kBits, 0, 16, false>();
  out[0][1][1] = planes_kernels<kBits, 0, 16, true>();
  if constexpr (kBits < 8) {
    out[1][0][0] = planes_kernels<kBits, 1, 32, false>();
    out[1][1][0] = planes_kernels<kBits, 1, 16, false>();
  }
}

struct PlanesTable {
  PanelKernels rows[8][2][2][2];
  constexpr PlanesTable() : rows{} {
    fill<1>(rows[0]);
    fill<2>(rows[1]);
    fill<3>(rows[2]);
    fill<4>(rows[3]);
    fill<5>(rows[4]);
    fill<6>(rows[5]);
    fill<7>(rows[6]);
    fill<8>(rows[7]);
  }
};

}  // namespace
}  // namespace bitkerf
