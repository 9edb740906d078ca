// How the kernels of packed forms read scales: by the order of scale_types().
#pragma once

#include "formats/number_format.h"

namespace bitkerf {

enum class ScaleKind { f32, f16, bf16, e8m0, e4m3 };

inline ScaleKind scale_kind(const ScaleType& type) { return static_cast<ScaleKind>(&type - scale_types().data()); }
// A minimum may be negative and of any size, so beside scales of one byte it is a float32.
inline const ScaleType& minimum_type(const NumberFormat& format) { return format.scale->bytes == 1 ? scale_type("f32") : *format.scale; }

}  // namespace bitkerf
