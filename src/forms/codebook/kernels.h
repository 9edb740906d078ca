// The tables of kernels of the codebook form; kernels.inl and float_kernels.inl fill them, once per instruction set.
#pragma once

#include "forms/unit_sums.h"

namespace bitkerf {

// Kinds of codes: tables of 2 to 8 bits, tables of each row of 2 to 4 bits, pairs of 4, 6 or 8 bits, patterns.
struct CodebookKind {
  static constexpr int kTable = 0, kRows = 7, kPairs = 10, kPatterns = 13, kCount = 14;
};

// Integer products, by kind, [scale per 16 columns] [UnitSums::kind] [bytes beyond 127].
struct CodebookKernels {
  PanelKernels rows[CodebookKind::kCount][2][UnitSums::kKinds][2];
};
// Float products: by kind, and by bits - 2 of tables of floats.
struct CodebookFloatKernels {
  PanelKernels bytes[CodebookKind::kCount], floats[7];
};

const CodebookKernels& codebook_kernels_portable();
const CodebookKernels& codebook_kernels_avx2();
const CodebookKernels& codebook_kernels_avx512();
const CodebookFloatKernels& codebook_float_kernels_portable();
const CodebookFloatKernels& codebook_float_kernels_avx2();
const CodebookFloatKernels& codebook_float_kernels_avx512();

}  // namespace bitkerf
