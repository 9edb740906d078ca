// What the kernels of refine.h know.
#pragma once

#include "forms/packed.h"

namespace bitkerf {

struct RefineView {
  const PanelKernels* inner;  // of the matrix as it is
  const void* inner_data;
  const std::byte* first_panel;
  i64 panel_bytes, units;
  const float* norms;         // (panels, units)
  bool minimum, late, one_unit;
  float threshold;
  std::int64_t *blocks, *refined, *sizes;  // added to; sizes may be nullptr
};

// A tile: this, then what inner->unpack() wrote.
struct RefineTile {
  const RefineView* view;
  const void* tile;
  const float* norms;  // of the panel
};
inline constexpr i64 kRefineHead = 64;

struct RefineKernels {
  PanelKernels kernels;
  // Norms of the units of a panel.
  void (*norms)(const RefineView& view, const std::byte* panel, i64 cols, float* out) noexcept;
  // Of a matrix whose tiles are those of int_tile.inl with scales of whole units: fills minimum, late, one_unit.
  bool (*reads)(const PanelKernels& kernels, RefineView& view) noexcept;
};
const RefineKernels& refine_kernels_portable();
const RefineKernels& refine_kernels_avx2();
const RefineKernels& refine_kernels_avx512();

}  // namespace bitkerf
