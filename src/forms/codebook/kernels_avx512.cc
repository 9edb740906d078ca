// GCC 12 takes the undefined inputs of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "forms/codebook/kernels.h"
#include "forms/unit_sums.h"

#include "forms/lanes_avx512.h"

#include "forms/codebook/tables_avx512.h"

#include "forms/codebook/sources.inl"

#include "forms/int_tile.inl"

#include "forms/int_units.inl"

#include "forms/codebook/streams_avx512.h"

#include "forms/codebook/kernels.inl"

namespace bitkerf {
const CodebookKernels& codebook_kernels_avx512() {
  static const AllKernels kKernels;
  return kKernels;
}
}  // namespace bitkerf
