// The tables of kernels of the codebook form; kernels.inl and float_kernels.inl fill them, once per instruction set.
#pragma once

#include "forms/unit_sums.h"

namespace bitkerf {

// Integer products of 8-bit activations, [scale per 16 columns] [UnitSums::kind] [bytes beyond 127].
struct CodebookKernels {
  static constexpr int kSums = UnitSums::kKinds - 1;  // the last one is that of 16 bits
  static constexpr int kStreams = 6;
  PanelKernels rows[2][kSums][2];
  // Of pairs by 4 to 8 bits and of patterns, whose scales are of 32 columns or more: [kind - CodebookKind::kPairs] ...
  PanelKernels streams[kStreams][kSums][2];
};

const CodebookKernels& codebook_kernels_portable();
const CodebookKernels& codebook_kernels_avx2();
const CodebookKernels& codebook_kernels_avx512();
const PanelKernels* codebook_float_kernels_portable();  // [levels are floats of 24 bits, not bytes]
const PanelKernels* codebook_float_kernels_avx2();
const PanelKernels* codebook_float_kernels_avx512();

}  // namespace bitkerf
