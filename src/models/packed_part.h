// One of a file's packed tensors as what it says it is. Everything is checked: Fault::file.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "files/model_file.h"
#include "files/packed_tensors.h"
#include "forms/list.h"

namespace bitkerf {

// What its kernels read, with the parameters of its transform where it has any.
const Encoding& input_of(const ModelFile& file, const PackedTensor& entry);
// The rows of the matrix that it is, ascending.
std::vector<std::int32_t> rows_of(const ModelFile& file, const PackedTensor& entry);
// read_bits: of matrices packed as planes (0: all).
std::unique_ptr<PackedLinear> open_packed_tensor(const ModelFile& file, const PackedTensor& entry, int read_bits);

}  // namespace bitkerf
