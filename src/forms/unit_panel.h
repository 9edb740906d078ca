// Panels of units of 32 columns: what bit_planes, int_dot and codebook share. Each form has its own way to lay codes out;
// behind them all have
//
//   scales   [group][32 rows] of the scale type
//   minima   [group][32 rows], when the format has them (f32 beside e8m0 and e4m3 scales)
//   rows     [32 rows] float16 that scales of a byte are multiples of, and [32 rows] of minima; of u8 scales only
//   tail     what else the form keeps for a panel
//
// each from a multiple of 64 bytes on.
#pragma once

#include <cstring>

#include "forms/list.h"
#include "forms/unit_view.h"

namespace bitkerf {

// Where things are in a panel.
struct UnitPlaces {
  i64 units, groups;
  i64 stored_groups;  // kernels go by units, so of groups of 16 there is an even number (the last one zero)
  i64 scales_at, minima_at, row_scales_at, tail_at, panel_bytes;
  // unit_bytes: codes of 32 columns; a multiple of 64.
  UnitPlaces(const NumberFormat& format, i64 cols, i64 unit_bytes, i64 tail_bytes = 0);
};

class UnitLinear : public PackedLinear {
 public:
  void check_scales() const;  // of a file: Fault::file when one is infinite or not a number

 protected:
  UnitLinear(const Quantized& q, const UnitPlaces& places, const Encoding& input);  // then pack_rows()
  UnitLinear(const PackedMatrix& m, const UnitPlaces& places);

  // store_codes(row, panel) for every row, into zeros; and its scales.
  template <class StoreCodes>
  void pack_rows(const Quantized& q, Threads& threads, StoreCodes&& store_codes) {
    threads.split(panels(), [&](i64 first, i64 last) {
      for (i64 p = first; p < last; p++) {
        std::byte* panel = writable_panel(p);
        std::memset(panel, 0, static_cast<std::size_t>(places_.panel_bytes));
        for (i64 r = p * kPanelRows; r < std::min((p + 1) * kPanelRows, shape().rows); r++) {
          store_codes(r, reinterpret_cast<std::uint8_t*>(panel));
          store_scales(q, r);
        }
      }
    });
  }
  // The matrix without its codes.
  Quantized unpack_scales() const;
  const std::uint8_t* panel_of(i64 row) const { return reinterpret_cast<const std::uint8_t*>(panel(row / kPanelRows)); }
  float scale_of(i64 row, i64 group) const;
  float minimum_of(i64 row, i64 group) const;  // 0 where the format has none
  // All but factor, middle and offset. together: a unit's codes lie together. unread: bytes of a panel that kernels do not
  // read.
  void fill(UnitView& view, bool together, i64 unread = 0);

  const NumberFormat format_;
  const UnitPlaces places_;
  const float tensor_scale_;
  int sums_ = 0;  // UnitSums::kind

 private:
  // Where the scale is, in the panel; and the minimum, and what they are multiples of (which: 0 for scales, 1 for minima).
  i64 scale_at(i64 row, i64 group) const { return places_.scales_at + (group * kPanelRows + row % kPanelRows) * format_.scale->bytes; }
  i64 minimum_at(i64 row, i64 group) const;
  i64 row_scale_at(i64 row, i64 which) const { return places_.row_scales_at + (which * kPanelRows + row % kPanelRows) * 2; }
  float row_scale(i64 row, i64 which) const;  // 1 of types that have none
  void store_scales(const Quantized& q, i64 row);
};

}  // namespace bitkerf
