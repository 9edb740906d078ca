// Consumer "expand": planes become unsigned bytes in registers, then one int8 dot product (int_units.inl).
namespace bitkerf {
namespace {

// kShift 1: bipolar codes, whose levels are even numbers minus an odd offset.
template <int kBits, int kShift>
struct PlaneCodes {
  using View = PlaneView;
  [[gnu::always_inline]] static void codes(const PlaneView& v, const u8* panel, i64 unit, int half, B* codes) {
    Lanes::template expand<kBits, kShift>(panel + unit * 128 + 64 * half, v.plane_bytes, codes);
  }
};

// By [bits - 1][shift][group is 16][minimum][UnitSums::kind].
using PlanesRows = PanelKernels[2][2][2][UnitSums::kKinds];

template <int kBits, int kShift, int kPart, bool kMinimum, int kSums = 0>
void fill_sums(PanelKernels (&out)[UnitSums::kKinds]) {
  out[kSums] = units_kernels<PlaneCodes<kBits, kShift>, kPart, kMinimum, (kBits + kShift > 7 ? 8 : 7), kSums>("expand");
  if constexpr (kSums + 1 < UnitSums::kKinds) fill_sums<kBits, kShift, kPart, kMinimum, kSums + 1>(out);
}

// 8 bits have no shift (they would not fit a byte), bipolar codes no minimum.
template <int kBits>
void fill(PlanesRows& out) {
  fill_sums<kBits, 0, 32, false>(out[0][0][0]);
  fill_sums<kBits, 0, 32, true>(out[0][0][1]);
  fill_sums<kBits, 0, 16, false>(out[0][1][0]);
  fill_sums<kBits, 0, 16, true>(out[0][1][1]);
  if constexpr (kBits < 8) {
    fill_sums<kBits, 1, 32, false>(out[1][0][0]);
    fill_sums<kBits, 1, 16, false>(out[1][1][0]);
  }
}

struct PlanesTable {
  PlanesRows rows[8];
  PlanesTable() : rows{} {
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
