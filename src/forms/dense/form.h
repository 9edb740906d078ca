// The rows of forms/list.cc that multiply floats; see form.cc.
#pragma once

#include "forms/list.h"

namespace bitkerf {
std::unique_ptr<Linear> make_dense(const StoredMatrix& matrix, Threads& threads);
// Of a transformed input: the matrix is W T^-1 in float32, so products are those of W but for rounding. For studies.
std::unique_ptr<Linear> make_dense_of_transformed(const StoredMatrix& matrix, const TransformRow& row, Threads& threads);
bool dense_half_holds(const StoredType& type);
std::unique_ptr<Linear> make_dense_half(const StoredMatrix& matrix, Threads& threads);
bool dense_bf16_holds(const StoredType& type);
std::unique_ptr<Linear> make_dense_bf16(const StoredMatrix& matrix, Threads& threads);
std::unique_ptr<PackedLinear> pack_dense(const Quantized& quantized, const Encoding& input, Threads& threads);
std::unique_ptr<Linear> make_stored_float(const StoredMatrix& matrix, Threads& threads);
}  // namespace bitkerf
