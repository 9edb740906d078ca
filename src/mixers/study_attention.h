// Attention whose products are not IEEE's (formats/product_mode.h): slow, by the definition.
#pragma once

#include "formats/product_mode.h"
#include "mixers/mixer.h"

namespace bitkerf {
std::unique_ptr<Mixer> make_study_attention(const AttentionShape& shape, const ProductMode& mode);
}  // namespace bitkerf
