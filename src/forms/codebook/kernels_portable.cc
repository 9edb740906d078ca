#include "forms/codebook/kernels.h"
#include "forms/unit_sums.h"

#include "forms/lanes_portable.h"

#include "forms/codebook/tables_portable.h"

#include "forms/codebook/sources.inl"

#include "forms/int_tile.inl"

#include "forms/int_units.inl"

namespace bitkerf {
namespace {
constexpr decltype(PanelKernels::one) kStreamsOne[CodebookKernels::kStreams] = {};  // units_one() is what there is
}  // namespace
}  // namespace bitkerf

#include "forms/codebook/kernels.inl"

namespace bitkerf {
const CodebookKernels& codebook_kernels_portable() {
  static const AllKernels kKernels;
  return kKernels;
}
}  // namespace bitkerf
