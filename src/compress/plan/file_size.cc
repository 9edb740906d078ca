#include "compress/plan/file_size.h"

#include <map>
#include <mutex>

#include "files/compact_vocabulary.h"
#include "files/gguf.h"
#include "forms/list.h"

namespace bitkerf {
namespace {

constexpr i64 kFileAlignment = 64;  // of quantize_model()

i64 padded(i64 bytes) { return ceil_div(bytes, kFileAlignment) * kFileAlignment; }

// Of a header, without the padding behind it.
i64 header_bytes(Metadata metadata, std::span<const Tensor> tensors) {
  metadata.set("general.alignment", std::uint32_t{1});  // as many bytes as any other alignment
  return static_cast<i64>(gguf_header(metadata, tensors).size());
}

Tensor tensor_of(const PlannedTensor& planned) {
  return {planned.entry.tensor, stored_type("I8"), {planned.bytes}, nullptr, planned.bytes};
}

// The bytes of 32 rows: packed forms are rows of panels of that many.
i64 panel_bytes(const Recipe& recipe, i64 cols) {
  static std::mutex mutex;
  static std::map<std::pair<std::string, i64>, i64> known;
  std::lock_guard lock(mutex);
  i64& bytes = known[{recipe.text(), cols}];
  if (bytes == 0) {
    Threads one(1);
    Quantized zeros = Quantized::zeros(parse_number_format(recipe.format), {kPanelRows, cols});
    bytes = static_cast<i64>(form(recipe.form).pack(zeros, encoding(recipe.input), one)->packed_bytes().size());
  }
  return bytes;
}

}  // namespace

PlannedTensor planned_tensor(std::string_view name, Shape shape, i64 first, i64 total, const Recipe& recipe) {
  std::string matrix = std::string(name) + ".weight";
  PackedTensor entry{total == shape.rows ? matrix : fmt::format("{}.rows{}", matrix, first), matrix, recipe.form, recipe.format, recipe.input,
                     shape, first, total};
  entry.recipe = recipe.text();
  return {std::move(entry), panel_bytes(recipe, shape.cols) * ceil_div(shape.rows, kPanelRows)};
}

i64 bytes_in_file(const PlannedTensor& planned) {
  Metadata metadata;
  std::vector<PackedTensor> entries(1, planned.entry);
  std::vector<Tensor> tensors(1, tensor_of(planned));
  set_packed_tensors(entries, metadata);
  i64 one = header_bytes(metadata, tensors);
  entries.push_back(entries[0]);
  tensors.push_back(tensors[0]);
  set_packed_tensors(entries, metadata);
  return header_bytes(metadata, tensors) - one + padded(planned.bytes);
}

i64 bytes_in_file(const Tensor& kept) {
  return header_bytes({}, std::span(&kept, 1)) - header_bytes({}, {}) + padded(kept.bytes);
}

i64 fixed_bytes_of_file(const ModelFile& source, const std::set<std::string, std::less<>>& planned, bool gguf) {
  Metadata metadata = source.metadata();
  if (!gguf) {
    compact_vocabulary(metadata);
    set_packed_tensors({}, metadata);
  }
  i64 bytes = header_bytes(metadata, {}) + kFileAlignment - 1;
  for (const Tensor& tensor : source.tensors())
    if (!planned.contains(tensor.name)) bytes += bytes_in_file(tensor);
  return bytes;
}

}  // namespace bitkerf
