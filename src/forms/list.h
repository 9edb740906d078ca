// Every way to hold a weight matrix in memory: one row per form, in list.cc. The loader, `--list`, tests, benches
// and (later) the planner loop over the table.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "formats/stored.h"
#include "formats/number_format.h"
#include "forms/packed.h"

namespace bitkerf {

// A matrix as it lies in a file: `shape.rows` rows of `type` blocks. cols is a multiple of type->block.
struct StoredMatrix {
  const StoredType* type;
  const std::byte* data;  // may be unaligned; not owned
  Shape shape;
};

// A packed matrix as it lies in a file of ours.
struct PackedMatrix {
  NumberFormat format;
  const Encoding* input;
  Shape shape;
  float tensor_scale;
  std::span<const std::byte> bytes;  // 64-byte aligned, outlives the Linear
};

// Fault::file unless the format is final and there are as many bytes as the shape's panels need.
void check_packed(const PackedMatrix& matrix, std::string_view form, i64 panel_bytes);

// A form takes blocks of a GGUF file, or codes that a quantizer made, or both; what it does not take is nullptr.
struct FormRow {
  std::string_view name;
  std::string_view about;
  // Packs a copy; the matrix is not needed afterwards.
  bool (*holds_stored)(const StoredType& type);
  std::unique_ptr<Linear> (*make)(const StoredMatrix& matrix, Threads& threads);
  bool (*holds_format)(const NumberFormat& format);
  // Encodings of activations that its kernels multiply; nullptr: float32 only.
  bool (*takes)(const NumberFormat& format, const Encoding& input);
  std::unique_ptr<PackedLinear> (*pack)(const Quantized& quantized, const Encoding& input, Threads& threads);
  // A matrix that lies packed in a mapped file: what packed_bytes() of pack() gave. read_bits: of the planes (0: all).
  std::unique_ptr<PackedLinear> (*open)(const PackedMatrix& matrix, int read_bits);
  // The exact inverse of pack.
  Quantized (*unpack)(const PackedLinear& packed);
  // How far a level that it multiplies is from the format's own, at most, in scales; nullptr: not at all.
  float (*rounding)(const NumberFormat& format) = nullptr;
};
std::span<const FormRow> forms();
// The encoding of activations that a form is given unless a recipe names one: int8 with the weights' groups, but at
// least 32 and at most 128 columns (int8 with one scale per token costs SmolLM2 4 % perplexity, g128 0.7 %, g32 0).
const Encoding& usual_input(const FormRow& form, const NumberFormat& format);
bool takes(const FormRow& form, const NumberFormat& format, const Encoding& input);
const FormRow& form(std::string_view name);  // unknown names answer with the known ones (Fault::usage)

// Opens a packed matrix that a file says is in this form. Fault::file when the form does not hold or multiply it, or the
// bytes are not its.
std::unique_ptr<PackedLinear> open_matrix(std::string_view form, const PackedMatrix& matrix, int read_bits);

// The transform of "hadamard/dense", given in place of a form: a study of what a transform by itself changes; otherwise nullptr.
const TransformRow* studied_transform(std::string_view form);

// The form that is fastest for this type here; `forced` (may be empty) names another one.
std::unique_ptr<Linear> make_linear(const StoredMatrix& matrix, std::string_view forced, Threads& threads);

}  // namespace bitkerf
