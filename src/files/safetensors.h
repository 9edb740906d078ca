// safetensors, the container of Hugging Face:
//
//   u64 length of the header | header: JSON | tensor data
//
// The header maps names to {"dtype", "shape" (outermost first), "data_offsets": [begin, end] in the data}.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "files/model_file.h"

namespace bitkerf {

// The tensors under the names they have in the file, shapes innermost first, data pointing into `bytes`.
// Throws Error{Fault::file}, with `where` (the file's name) in front.
std::vector<Tensor> parse_safetensors(const std::string& where, std::span<const std::byte> bytes);

}  // namespace bitkerf
