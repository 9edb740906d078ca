// Integer kernels over the panels of codec.h, for every codec, from one source.
namespace bitkerf {
namespace {

inline const std::uint16_t* halves(const u8* p) { return reinterpret_cast<const std::uint16_t*>(p); }

// Codes of step s (columns 4s..4s+3 of the 32 at p), unsigned bytes.
template <Codec C>
[[gnu::always_inline]] inline B codes(const u8* p, int s) {
  B c;
  if constexpr (C.bits == 8) {
    return Lanes::bytes(p + 64 * s);
  } else if constexpr (C.bits == 2 || C.bits == 3) {
    c = Lanes::bytes_and(Lanes::bytes_shr(Lanes::bytes(p + 64 * (s / 4)), 2 * (s % 4)), 3);
    if constexpr (C.bits == 3) c = Lanes::bytes_set(c, p + 128 + 8 * s, 4);
  } else {
    B both = Lanes::bytes(p + 64 * (s % 4));
    c = Lanes::bytes_and(s < 4 ? both : Lanes::bytes_shr(both, 4), 15);
    if constexpr (C.bits == 5) c = Lanes::bytes_set(c, p + 256 + 8 * s, 16);
    if constexpr (C.bits == 6) {
      B high = Lanes::bytes(p + 256 + 64 * (s / 4));
      int at = 2 * (s % 4);  // bits at..at+1 go to bits 4..5
      c = Lanes::bytes_or(c, Lanes::bytes_and(at < 4 ? Lanes::bytes_shl(high, 4 - at) : Lanes::bytes_shr(high, at - 4), 0x30));
    }
  }
  if constexpr (C.levels == Levels::iq4) c = Lanes::lookup(c, kLevelsIq4);
  if constexpr (C.levels == Levels::e2m1) c = Lanes::lookup(c, kLevelsE2m1);
  return c;
}

struct Scale { F d, m; };

// Scale and minimum of 16 rows for group g of a block; p: the block's transposed scale bytes. Products are rounded as
// the file's format defines them: d * integer first.
template <Codec C>
[[gnu::always_inline]] inline Scale scales(const u8* p, int g) {
  if constexpr (C.scale_bytes == ScaleBytes::half) {
    return {Lanes::from_half(halves(p)), Lanes::zero()};
  } else if constexpr (C.scale_bytes == ScaleBytes::half_min) {
    return {Lanes::from_half(halves(p)), Lanes::from_half(halves(p + 32))};
  } else if constexpr (C.scale_bytes == ScaleBytes::e8m0) {
    // 2^(e - 128) as the product of two powers of about half the exponent: both normal, the product exact even where
    // it is subnormal. Their biased exponents are floor(e / 2) + 63 and ceil(e / 2) + 63.
    I e = Lanes::from_u8(p);
    F low = Lanes::bits_to_float(Lanes::shl(Lanes::sub(Lanes::shr(e, 1), -63), 23));
    F high = Lanes::bits_to_float(Lanes::shl(Lanes::sub(Lanes::shr(Lanes::sub(e, -1), 1), -63), 23));
    return {Lanes::mul(low, high), Lanes::zero()};
  } else if constexpr (C.scale_bytes == ScaleBytes::q2_k) {
    I both = Lanes::from_u8(p + 16 * g);
    F d = Lanes::from_half(halves(p + 256)), dmin = Lanes::from_half(halves(p + 288));
    return {Lanes::mul(d, Lanes::to_float(Lanes::band(both, 15))),
            Lanes::mul(dmin, Lanes::to_float(Lanes::negate(Lanes::shr(both, 4))))};
  } else if constexpr (C.scale_bytes == ScaleBytes::q3_k) {
    I low = Lanes::from_u8(p + 16 * (g % 8));
    low = g < 8 ? Lanes::band(low, 15) : Lanes::shr(low, 4);
    I high = Lanes::band(Lanes::shr(Lanes::from_u8(p + 16 * (8 + g % 4)), 2 * (g / 4)), 3);
    I scale = Lanes::sub(Lanes::bor(low, Lanes::shl(high, 4)), 32);
    return {Lanes::mul(Lanes::from_half(halves(p + 192)), Lanes::to_float(scale)), Lanes::zero()};
  } else if constexpr (C.scale_bytes == ScaleBytes::q4_k) {
    const u8* q = p + 64;
    I scale, minimum;
    if (g < 4) {
      scale = Lanes::band(Lanes::from_u8(q + 16 * g), 63);
      minimum = Lanes::band(Lanes::from_u8(q + 16 * (g + 4)), 63);
    } else {
      I low = Lanes::from_u8(q + 16 * (g + 4));
      scale = Lanes::bor(Lanes::band(low, 15), Lanes::shl(Lanes::shr(Lanes::from_u8(q + 16 * (g - 4)), 6), 4));
      minimum = Lanes::bor(Lanes::shr(low, 4), Lanes::shl(Lanes::shr(Lanes::from_u8(q + 16 * g), 6), 4));
    }
    return {Lanes::mul(Lanes::from_half(halves(p)), Lanes::to_float(scale)),
            Lanes::mul(Lanes::from_half(halves(p + 32)), Lanes::to_float(Lanes::negate(minimum)))};
  } else if constexpr (C.scale_bytes == ScaleBytes::q6_k) {
    return {Lanes::mul(Lanes::from_half(halves(p + 256)), Lanes::to_float(Lanes::from_i8(p + 16 * g))), Lanes::zero()};
  } else {
    static_assert(C.scale_bytes == ScaleBytes::iq4_xs);
    I low = Lanes::from_u8(p + 64 + 16 * (g / 2));
    low = g % 2 == 0 ? Lanes::band(low, 15) : Lanes::shr(low, 4);
    I high = Lanes::band(Lanes::shr(Lanes::from_u16(halves(p + 32)), 2 * g), 3);
    I scale = Lanes::sub(Lanes::bor(low, Lanes::shl(high, 4)), 32);
    return {Lanes::mul(Lanes::from_half(halves(p)), Lanes::to_float(scale)), Lanes::zero()};
  }
}

// Decode: the panel streams by once, codes go from the file's bits to the dot product in registers.
template <Codec C>
void one(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  const IntRows x = *static_cast<const IntRows*>(input);
  const std::int8_t* q = x.q + token * x.cols;
  const float* scale = x.scale + token * x.groups;
  constexpr int kGroups32 = C.block / 32, kPer32 = 32 / C.group;
  const u8* p = reinterpret_cast<const u8*>(panel);
  F sum[2] = {Lanes::zero(), Lanes::zero()};
  for (i64 block = 0; block < cols / C.block; block++) {
#pragma GCC unroll Lanes::kUnroll
    for (int half = 0; half < 2; half++, p += C.half_bytes()) {
      // As in int_units.inl: the processor alone has too few loads on their way. Panels follow each other, so far ahead
      // is the next one's beginning.
      for (i64 line = 0; line < C.half_bytes(); line += 64) __builtin_prefetch(p + kAhead + line, 0, 3);
#pragma GCC unroll Lanes::kUnroll
      for (int g = 0; g < kGroups32; g++) {
        const u8* c = p + g * C.bits * 64;
#pragma GCC unroll Lanes::kUnroll
        for (int part = 0; part < kPer32; part++) {
          std::int32_t minus = minus_sum_of<C.group>(x, token, block * kGroups32 + g, 1, part);
          I dot = Lanes::all_int(minus * C.offset);
#pragma GCC unroll Lanes::kUnroll
          for (int s = part * C.group / 4; s < (part + 1) * C.group / 4; s++)
            dot = Lanes::template dot<C.level_bits()>(dot, codes<C>(c, s), q + 32 * (block * kGroups32 + g) + 4 * s);
          Scale sc = scales<C>(p + C.code_bytes(), g * kPer32 + part);
          const float x_scale = scale[block * kGroups32 + g];
          sum[half] = add_span<C.has_minimum(), false>(sum[half], dot, sc.d, sc.m, x_scale, x_scale * -static_cast<float>(minus));
        }
      }
    }
  }
  Lanes::store(y, sum[0]);
  Lanes::store(y + 16, sum[1]);
}

template <Codec C>
i64 tile_bytes(i64 count) {
  return tile_codes(count) + count / C.group * 32 * 4 * (C.has_minimum() ? 2 : 1);
}

template <Codec C>
const void* unpack(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  constexpr int kGroups32 = C.block / 32, kPer32 = 32 / C.group;
  u8* out = start_tile(scratch, {C.offset, 1});
  float* d = reinterpret_cast<float*>(static_cast<u8*>(scratch) + tile_codes(count));
  float* m = d + count / C.group * 32;
  const u8* p = reinterpret_cast<const u8*>(panel) + first / C.block * 2 * C.half_bytes();
  for (i64 block = 0; block < count / C.block; block++) {
#pragma GCC unroll Lanes::kUnroll
    for (int half = 0; half < 2; half++, p += C.half_bytes()) {
#pragma GCC unroll Lanes::kUnroll
      for (int g = 0; g < kGroups32; g++) {
        const u8* c = p + g * C.bits * 64;
        i64 group32 = block * kGroups32 + g;
#pragma GCC unroll Lanes::kUnroll
        for (int s = 0; s < 8; s++) Lanes::store_bytes(out + (group32 * 8 + s) * 128 + 64 * half, codes<C>(c, s));
#pragma GCC unroll Lanes::kUnroll
        for (int part = 0; part < kPer32; part++) {
          Scale sc = scales<C>(p + C.code_bytes(), g * kPer32 + part);
          i64 at = (group32 * kPer32 + part) * 32 + 16 * half;
          Lanes::store(d + at, sc.d);
          if constexpr (C.has_minimum()) Lanes::store(m + at, sc.m);
        }
      }
    }
  }
  return scratch;
}

template <Codec C>
PanelKernels kernels_of() {
  PanelKernels kernels{"expand", one<C>, unpack<C>, tile_bytes<C>, {}, 1};
  // Only 7 and 8 bits need the wide product of machines without VNNI.
  set_tiles<C.group, C.has_minimum(), (C.level_bits() > 7 ? 8 : 7), 0>(kernels);
  return kernels;
}

template <int... kIndex>
const PanelKernels* table_of() {
  static const PanelKernels kRows[] = {kernels_of<kCodecs[kIndex]>()...};
  return kRows;
}

}  // namespace
}  // namespace bitkerf
