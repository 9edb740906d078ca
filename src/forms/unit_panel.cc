#include "forms/unit_panel.h"

#include <cmath>

#include "core/error.h"
#include "forms/unit_sums.h"

namespace bitkerf {
namespace {

ScaleKind scale_kind(const ScaleType& type) { return static_cast<ScaleKind>(&type - scale_types().data()); }
const ScaleType& minimum_type(const NumberFormat& format) { return bitkerf::minimum_type(*format.scale); }
const ScaleType& row_type() { return scale_type("f16"); }

}  // namespace

UnitPlaces::UnitPlaces(const NumberFormat& format, i64 cols, i64 unit_bytes, i64 tail_bytes)
    : units(ceil_div<i64>(cols, 32)), groups(format.groups(cols)), stored_groups(format.group == 16 ? 2 * units : groups),
      scales_at(units * unit_bytes), minima_at(round_up<i64>(scales_at + stored_groups * kPanelRows * format.scale->bytes, 64)),
      row_scales_at(format.has_minimum ? round_up<i64>(minima_at + stored_groups * kPanelRows * minimum_type(format).bytes, 64) : minima_at),
      tail_at(row_scales_at + (format.scale->of_row ? kPanelRows * 2 * (format.has_minimum ? 2 : 1) : 0)),
      panel_bytes(tail_at + tail_bytes) {}

UnitLinear::UnitLinear(const Quantized& q, const UnitPlaces& places, const Encoding& input)
    : PackedLinear(q.shape(), places.panel_bytes, input), format_(q.format), places_(places), tensor_scale_(q.tensor_scale) {}
UnitLinear::UnitLinear(const PackedMatrix& m, const UnitPlaces& places)
    : PackedLinear(m.shape, places.panel_bytes, *m.input, m.bytes.data()), format_(m.format), places_(places), tensor_scale_(m.tensor_scale) {}

void UnitLinear::check_scales() const {
  // Padding rows count: kernels multiply them too.
  for (i64 r = 0; r < panels() * kPanelRows; r++)
    for (i64 g = 0; g < places_.groups; g++)
      if (!std::isfinite(scale_of(r, g)) || !std::isfinite(minimum_of(r, g))) fail(Fault::file, "holds scales that are Inf or not a number");
}

i64 UnitLinear::minimum_at(i64 row, i64 group) const {
  return places_.minima_at + (group * kPanelRows + row % kPanelRows) * minimum_type(format_).bytes;
}
float UnitLinear::row_scale(i64 row, i64 which) const {
  return format_.scale->of_row ? row_type().load(panel(row / kPanelRows) + row_scale_at(row, which)) : 1;
}
float UnitLinear::scale_of(i64 row, i64 group) const {
  return format_.scale->load(panel(row / kPanelRows) + scale_at(row, group)) * row_scale(row, 0);
}
float UnitLinear::minimum_of(i64 row, i64 group) const {
  if (!format_.has_minimum) return 0;
  return minimum_type(format_).load(panel(row / kPanelRows) + minimum_at(row, group)) * row_scale(row, 1);
}

void UnitLinear::store_scales(const Quantized& q, i64 row) {
  std::byte* panel = writable_panel(row / kPanelRows);
  for (i64 i = 0; i < q.row_scales.cols(); i++) row_type().store(q.row_scales(row, i), panel + row_scale_at(row, i));
  auto multiple = [](float v, float unit) { return unit > 0 ? v / unit : 0; };
  for (i64 g = 0; g < places_.groups; g++) {
    format_.scale->store(multiple(q.scales(row, g), row_scale(row, 0)), panel + scale_at(row, g));
    if (format_.has_minimum) minimum_type(format_).store(multiple(q.minima(row, g), row_scale(row, 1)), panel + minimum_at(row, g));
  }
}

Quantized UnitLinear::unpack_scales() const {
  Quantized q = Quantized::zeros(format_, shape());
  q.tensor_scale = tensor_scale_;
  for (i64 r = 0; r < shape().rows; r++) {
    for (i64 i = 0; i < q.row_scales.cols(); i++) q.row_scales(r, i) = row_scale(r, i);
    for (i64 g = 0; g < places_.groups; g++) {
      q.scales(r, g) = scale_of(r, g);
      if (format_.has_minimum) q.minima(r, g) = minimum_of(r, g);
    }
  }
  return q;
}

void UnitLinear::fill(UnitView& view, bool together, i64 unread) {
  UnitSums sums(format_.group, input());
  sums_ = sums.kind;
  view.units = places_.units;
  view.panel_bytes = places_.panel_bytes;
  const i64 units = std::max<i64>(places_.units, 1);
  view.unit_bytes = together ? places_.scales_at / units : 0;
  view.ahead_at = together ? places_.scales_at : 0;
  view.ahead_bytes = round_up<i64>(ceil_div(places_.panel_bytes - view.ahead_at - unread, units), 64);
  view.scales_at = places_.scales_at;
  view.minima_at = format_.has_minimum ? places_.minima_at : -1;
  view.row_scales_at = places_.row_scales_at;
  view.group = format_.group == kWholeRow ? round_up<i64>(shape().cols, 32) : format_.group;
  view.span_units = sums.span_units;
  view.has_minimum = format_.has_minimum;
  view.late = sums.late();
  view.scale = scale_kind(*format_.scale);
  view.minimum = scale_kind(minimum_type(format_));
}

}  // namespace bitkerf
