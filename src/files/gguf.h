// GGUF, the container of llama.cpp and ours: header, key-value pairs, tensor list, padding, tensor data.
//
//   "GGUF" | version u32 | tensors u64 | pairs u64
//   per pair:    key (u64 length, bytes) | type u32 | value          (array: element type u32, count u64, elements)
//   per tensor:  name | dimensions u32 | u64 each | type u32 | offset u64
//   padding to general.alignment (32 when absent), then the data that the offsets count from
//
// Versions 2 and 3, little-endian. Nothing in a file is believed before it is compared with what is left of the file.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "files/model_file.h"

namespace bitkerf {

struct Gguf {
  std::uint32_t version = 0;
  i64 alignment = 0;
  Metadata metadata;
  std::vector<Tensor> tensors;  // data points into the bytes that were parsed
};

// Throws Error{Fault::file}, with `where` (the file's name) in front.
Gguf parse_gguf(const std::string& where, std::span<const std::byte> bytes);

// One file, or all parts of a split one when `path` is its first part.
std::unique_ptr<ModelFile> open_gguf(const std::string& path);

// Everything before the tensor data, padded. Keys come in their order in Metadata, tensors in the order given; offsets
// follow from the sizes. The alignment is general.alignment, or 32.
std::string gguf_header(const Metadata& metadata, std::span<const Tensor> tensors);

// Writes a version 3 file: into a temporary file beside it, which takes the place of `path` only when all of it is on
// the disk. On failure (Fault::run_time) an older file at `path` is untouched and nothing else is left.
void write_gguf(const std::string& path, const Metadata& metadata, std::span<const Tensor> tensors);

}  // namespace bitkerf
