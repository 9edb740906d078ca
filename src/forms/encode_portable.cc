#include "forms/encoding.h"

#include "forms/lanes_portable.h"

#include "forms/encode.inl"

namespace bitkerf {

void encode_ints_portable(Matrix<const float> x, i64 first, i64 last, const IntRows& out) noexcept {
  encode_rows(x.data, x.cols, x.stride, first, last, out);
}

}  // namespace bitkerf
