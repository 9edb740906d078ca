// Float products: of levels that are no small integers, and of groups that are no multiple of 16. Included after
// sources.inl, int_units.inl (for the scales) and dense/kernels.inl, whose tiles multiply.
namespace bitkerf {
namespace {

// Level of column k of a step.
struct ByteLevels {
  Lanes::B bytes;
  std::int32_t offset;
  ByteLevels(const CodebookView& v, Lanes::B codes) : bytes(codes), offset(v.offset) {}
  F level(int k) const { return Lanes::to_float(Lanes::sub(Lanes::band(Lanes::shr(Tables::ints(bytes), 8 * k), 255), offset)); }
};

// Floats of 24 bits, a byte from each table: every small float and more (the grid is rounded to such when it is packed).
struct FloatLevels {
  Lanes::B bytes[3];
  FloatLevels(const CodebookView& v, Lanes::B codes) {
    for (int i = 0; i < 3; i++) bytes[i] = Tables::template look_up<256>(codes, v.table[i]);
  }
  F level(int k) const {
    I bits = Lanes::shl(Lanes::shr(Tables::ints(bytes[0]), 8 * k), 24);
    bits = Lanes::bor(bits, Lanes::shl(Lanes::band(Lanes::shr(Tables::ints(bytes[1]), 8 * k), 255), 16));
    return Lanes::bits_to_float(Lanes::bor(bits, Lanes::shl(Lanes::band(Lanes::shr(Tables::ints(bytes[2]), 8 * k), 255), 8)));
  }
};

// Columns [first, first + count) as [column][32 rows] floats.
template <class Levels>
const void* float_unpack(const void* self, const std::byte* data, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  const auto& v = *static_cast<const CodebookView*>(self);
  const u8* panel = reinterpret_cast<const u8*>(data);
  auto* out = static_cast<float*>(scratch);
  for (int half = 0; half < 2; half++) {
    const PanelScales scales(v, panel, half);
    F d = Lanes::zero(), m = Lanes::zero();
    i64 next = first;  // column where the scale changes
    for (i64 unit = first / 32; unit * 32 < first + count; unit++) {
      B codes[8];
      AnyCodes::codes(v, panel, unit, half, codes);
      for (i64 s = 0; s < 8; s++) {
        Levels levels(v, codes[s]);
        for (int k = 0; k < 4; k++) {
          i64 col = 32 * unit + 4 * s + k;
          if (col >= first + count) break;
          if (col == next) {
            i64 group = col / v.group;
            scales.load(group, d, m);
            next = (group + 1) * v.group;
          }
          Lanes::store(out + (col - first) * 32 + 16 * half, Lanes::fma(levels.level(k), d, m));
        }
      }
    }
  }
  return scratch;
}

template <class Levels>
void float_one(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  constexpr i64 kChunk = 64;  // 8 KiB of floats
  alignas(64) float scratch[kChunk * 32];
  for (i64 c = 0; c < cols; c += kChunk) {
    i64 count = std::min(kChunk, cols - c);
    dense_tile<1>(float_unpack<Levels>(self, panel, cols, c, count, scratch), cols, c, count, input, tokens, token, y, 32);
  }
}

i64 float_tile_bytes(i64 count) { return round_up<i64>(count, 32) * 32 * static_cast<i64>(sizeof(float)); }

template <class Levels>
constexpr PanelKernels float_kernels() {
  PanelKernels kernels{"float", float_one<Levels>, float_unpack<Levels>, float_tile_bytes, {}, 1};
  set_dense_tiles(kernels);
  return kernels;
}

constexpr PanelKernels kFloatKernels[2] = {float_kernels<ByteLevels>(), float_kernels<FloatLevels>()};

}  // namespace
}  // namespace bitkerf
