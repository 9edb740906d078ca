#include "forms/encoding.h"

#include "forms/lanes_avx512.h"

#include "forms/encode.inl"
#include "forms/encode_units_avx512.inl"

namespace bitkerf {

void encode_ints_avx512(Matrix<const float> x, i64 first, i64 last, const IntRows& out) noexcept {
  bool whole_bytes = !out.bipolar && !out.low && !out.planes;
  if (whole_bytes && encodes_units(out)) return encode_units(x.data, x.cols, x.stride, first, last, out);
  encode_rows(x.data, x.cols, x.stride, first, last, out);
}

}  // namespace bitkerf
