// Integer products of bytes that tables gave; sources.inl has the tables, int_units.inl the rest.
namespace bitkerf {
namespace {

template <int kPart, int kSums = 0>
void fill(PanelKernels (&out)[CodebookKernels::kSums][2]) {
  out[kSums][0] = units_kernels<AnyCodes, kPart, false, 7, kSums>("table");
  out[kSums][1] = units_kernels<AnyCodes, kPart, false, 8, kSums>("table");
  if constexpr (kSums + 1 < CodebookKernels::kSums) fill<kPart, kSums + 1>(out);
}

struct AllKernels : CodebookKernels {
  AllKernels() : CodebookKernels{} {
    fill<32>(rows[0]);
    fill<16>(rows[1]);
    for (int kind = 0; kind < kStreams; kind++)
      for (int sums = 0; sums < kSums; sums++)
        for (int wide = 0; wide < 2; wide++) {
          PanelKernels& kernels = streams[kind][sums][wide] = rows[0][sums][wide];
          if (kStreamsOne[kind]) kernels.one = kStreamsOne[kind];
        }
  }
};

}  // namespace
}  // namespace bitkerf
