// Weights as floats, multiplied in another way than IEEE's (formats/product_mode.h): what that costs in precision. Not in
// the list of forms, whose products are exact: make_linear() makes it when a mode is forced.
#pragma once

#include "formats/product_mode.h"
#include "forms/list.h"

namespace bitkerf {
// Only L-Mul's modes: small floats need scales, which number formats have. Fault::usage otherwise.
std::unique_ptr<Linear> make_product_study(const StoredMatrix& matrix, const ProductMode& mode, Threads& threads);
}  // namespace bitkerf
