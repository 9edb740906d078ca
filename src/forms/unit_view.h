// What kernels know of a matrix whose panels are units of 32 columns, then scales and minima (unit_panel.h).
#pragma once

#include <cstdint>

#include "core/view.h"

namespace bitkerf {

// How scales are read: by the order of scale_types(), and of minima beside u8.
enum class ScaleKind { f32, f16, bf16, e8m0, e4m3, u8, i8 };

// weight = scale * factor * (u - offset) + scale * middle + minimum; forms say what u is.
struct UnitView {
  i64 units;                     // of 32 columns
  i64 panel_bytes;
  i64 unit_bytes;                // of a unit's codes where they lie together; 0: in several places
  i64 ahead_at, ahead_bytes;     // what else is read of a panel, from where on; bytes per unit, in whole cache lines
  i64 scales_at, minima_at;      // offsets in the panel; minima_at < 0: none stored
  i64 row_scales_at;             // of the float16 per row that u8 scales are multiples of; those of minima follow
  i64 group;                     // columns per scale: 16 or a multiple of 32 (of float kernels: any)
  i64 span_units;                // units of 32 columns that are summed as integers: 1 when the group is 16
  bool has_minimum;              // or a middle
  bool late;                     // forms/unit_sums.h
  ScaleKind scale, minimum;
  float factor;                  // tensor_scale and the step of the integers
  float middle;                  // tensor_scale times the constant of a level that is no integer; 0: none
  std::int32_t offset;
};

}  // namespace bitkerf
