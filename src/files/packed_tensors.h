// Matrices of ours in a GGUF file: each is an I8 tensor of packed bytes, which standard tools can list and copy, and a
// row in arrays of metadata that say what the bytes are (docs/formats.md, "In a file"):
//   bitkerf.packed.tensor   string  name of the I8 tensor
//   bitkerf.packed.matrix   string  the matrix that it is, or is rows of ("blk.0.attn_q.weight")
//   bitkerf.packed.form     string  row of forms/list.cc
//   bitkerf.packed.format   string  number format
//   bitkerf.packed.recipe   string  what it was made by (compress/recipe.h); may be left out
//   bitkerf.packed.input    string  encoding of activations
//   bitkerf.packed.rows, .cols, .first, .total   u64   its shape; the first of its rows in the matrix; rows of the matrix
//   bitkerf.packed.scale    f32     what every scale is multiplied by
// and where some matrix has one, else left out:
//   bitkerf.packed.transform  string  F32 tensor that holds the parameters of the input's transform; "": it has none
//   bitkerf.packed.scattered  string  I32 tensor: row i is row first + its element i of the matrix; "": row first + i
// Tensors with the same first row that are neither scattered nor of different columns do not occur; of different columns
// (transforms that leave some out), their sum is the matrix.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "files/metadata.h"

namespace bitkerf {

struct PackedTensor {
  std::string tensor, matrix, form, format, input;
  Shape shape;
  i64 first = 0, total = 0;
  float scale = 1;
  std::string recipe = {}, transform = {}, scattered = {};
};

// Empty for a file without any. Arrays of the wrong type or of different lengths, shapes out of range, scales that are
// not positive numbers: Fault::file.
std::vector<PackedTensor> read_packed_tensors(const Metadata& metadata);
void set_packed_tensors(std::span<const PackedTensor> tensors, Metadata& metadata);

}  // namespace bitkerf
