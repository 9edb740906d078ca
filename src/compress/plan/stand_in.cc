#include "compress/plan/stand_in.h"

#include <map>
#include <set>

#include "compress/plan/file_size.h"
#include "compress/plan/timing.h"
#include "files/compact_vocabulary.h"
#include "files/gguf.h"
#include "forms/list.h"

namespace bitkerf {

void write_stand_in(const ModelFile& source, const ModelMatrices& matrices, const RecipeBook& recipes, const std::string& out, Threads& threads) {
  // Matrices of one shape and recipe share their bytes here, not in the file.
  std::map<std::pair<std::string, std::pair<i64, i64>>, std::unique_ptr<PackedLinear>> packed;
  auto packed_as = [&](const Recipe& recipe, Shape shape) -> const PackedLinear& {
    std::unique_ptr<PackedLinear>& linear = packed[{recipe.text(), {shape.rows, shape.cols}}];
    if (!linear) linear = form(recipe.form).pack(random_weights(parse_number_format(recipe.format), shape), encoding(recipe.input), threads);
    return *linear;
  };
  std::vector<PackedTensor> entries;
  std::vector<Tensor> tensors;
  std::set<std::string, std::less<>> made;
  for (const ModelMatrix& matrix : matrices.list()) {
    const std::vector<RecipeSegment> segments = recipes.of(matrix.name, matrix.shape.rows);
    if (segments[0].recipe->keep) continue;
    made.insert(matrix.name + ".weight");
    for (const ModelMatrix::Part& part : matrix.parts)
      for (const RecipeSegment& segment : segments) {
        CHECK_EQ(segment.rows.size(), 1u);  // as plans have them
        const i64 first = std::max(segment.rows[0].first, part.first), end = std::min(segment.rows[0].end, part.first + part.linear->shape().rows);
        if (first >= end) continue;
        PlannedTensor planned = planned_tensor(matrix.name, {end - first, matrix.shape.cols}, first, matrix.shape.rows, *segment.recipe);
        std::span<const std::byte> bytes = packed_as(*segment.recipe, planned.entry.shape).packed_bytes();
        tensors.push_back({planned.entry.tensor, stored_type("I8"), {static_cast<i64>(bytes.size())}, bytes.data(), static_cast<i64>(bytes.size())});
        entries.push_back(std::move(planned.entry));
      }
  }
  for (const Tensor& tensor : source.tensors())
    if (!made.contains(tensor.name)) tensors.push_back(tensor);
  Metadata metadata = source.metadata();
  compact_vocabulary(metadata);
  set_packed_tensors(entries, metadata);
  metadata.set("general.alignment", std::uint32_t{64});  // as quantize_model() does
  write_gguf(out, metadata, tensors);
}

}  // namespace bitkerf
