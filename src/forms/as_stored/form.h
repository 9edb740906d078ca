// The row of forms/list.cc that multiplies GGUF blocks with int8 activations; see codec.h.
#pragma once

#include "forms/list.h"

namespace bitkerf {
bool as_stored_holds(const StoredType& type);
std::unique_ptr<Linear> make_as_stored(const StoredMatrix& matrix, Threads& threads);
}  // namespace bitkerf
