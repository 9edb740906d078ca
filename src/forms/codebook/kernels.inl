// Integer products of bytes that tables gave; sources.inl has the tables, int_units.inl the rest.
namespace bitkerf {
namespace {

template <class Source, int kPart, bool kLate, bool kWide, int kLevelBits>
constexpr PanelKernels codebook_kernels() {
  PanelKernels kernels{"table", units_one<Source, kPart, false, kLate, kWide>, units_unpack<Source, kPart, false>,
                       units_tile_bytes<kPart, false>, {}, 1};
  set_tiles<kPart, false, kLevelBits, kLate, kWide>(kernels);
  return kernels;
}

template <class Source, int kPart>
constexpr void fill(PanelKernels (&out)[3][2]) {
  out[0][0] = codebook_kernels<Source, kPart, false, false, 7>();
  out[0][1] = codebook_kernels<Source, kPart, false, false, 8>();
  out[1][0] = codebook_kernels<Source, kPart, true, false, 7>();
  out[1][1] = codebook_kernels<Source, kPart, true, false, 8>();
  out[2][0] = codebook_kernels<Source, kPart, true, true, 7>();
  out[2][1] = codebook_kernels<Source, kPart, true, true, 8>();
}

struct AllKernels : CodebookKernels {
  template <class... Sources>
  static constexpr void fill_all(CodebookKernels& table) {
    int kind = 0;
    ((fill<Sources, 32>(table.rows[kind][0]), fill<Sources, 16>(table.rows[kind][1]), kind++), ...);
  }
  constexpr AllKernels() : CodebookKernels{} {
    fill_all<TableCodes<2>, TableCodes<3>, TableCodes<4>, TableCodes<5>, TableCodes<6>, TableCodes<7>, TableCodes<8>, RowCodes<2>, RowCodes<3>,
             RowCodes<4>, PairCodes<4>, PairCodes<6>, PairCodes<8>, PatternCodes>(*this);
  }
};

constexpr AllKernels kCodebookKernels;

}  // namespace
}  // namespace bitkerf
