// How many bytes a file of ours will have, before anything is quantized: header, tokenizer, padding and all.
#pragma once

#include <set>
#include <string>

#include "compress/recipe.h"
#include "files/model_file.h"
#include "files/packed_tensors.h"

namespace bitkerf {

// A packed tensor that is yet to be made.
struct PlannedTensor {
  PackedTensor entry;
  i64 bytes = 0;  // of its data
};
// Rows [first, first + shape.rows) of `total` of the matrix `name` (without ".weight") by this recipe, which does not keep it.
PlannedTensor planned_tensor(std::string_view name, Shape shape, i64 first, i64 total, const Recipe& recipe);

// What a tensor adds to a file: its data, the padding behind it and what the header says of it.
i64 bytes_in_file(const PlannedTensor& tensor);
i64 bytes_in_file(const Tensor& kept);
// Everything else: the metadata of `source`, the tensors that are not in `planned` (full names), and at most 63 bytes more
// than the file's own padding of the header. gguf: of a file for other programs, which has the source's metadata.
i64 fixed_bytes_of_file(const ModelFile& source, const std::set<std::string, std::less<>>& planned, bool gguf = false);

}  // namespace bitkerf
