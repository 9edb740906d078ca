// Integer products of bytes that tables gave; sources.inl has the tables, int_units.inl the rest.
namespace bitkerf {
namespace {

template <class Source, int kPart, int kSums = 0>
constexpr void fill(PanelKernels (&out)[UnitSums::kKinds][2]) {
  out[kSums][0] = units_kernels<Source, kPart, false, 7, kSums>("table");
  out[kSums][1] = units_kernels<Source, kPart, false, 8, kSums>("table");
  if constexpr (kSums + 1 < UnitSums::kKinds) fill<Source, kPart, kSums + 1>(out);
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
