#include "compress/records.h"

#include "core/error.h"
#include "files/packed_tensors.h"
#include "forms/list.h"

namespace bitkerf {
namespace {

// An open parameter of an equal grid says that something is searched or learned: tables are learned, numbers searched.
bool is_learned(const FormatRow& row) { return row.row_tables || row.parameter == "v"; }

std::string_view before(std::string_view text, std::string_view mark) { return text.substr(0, text.find(mark)); }

}  // namespace

std::vector<TensorRecord> tensor_records(const ModelFile& file) {
  std::vector<TensorRecord> records;
  for (const PackedTensor& entry : read_packed_tensors(file.metadata())) {
    std::string matrix(before(entry.matrix, ".weight"));
    if (entry.recipe.empty()) fail(Fault::file, "{}: does not say by which recipe '{}' was made", file.path(), entry.matrix);
    if (matrix.find_first_of("*?[]\\=#;\n") != matrix.npos || entry.recipe.find_first_of("#;\n") != entry.recipe.npos)
      fail(Fault::file, "{}: '{}' or its recipe '{}' cannot be written as a line of a recipe", file.path(), matrix, entry.recipe);
    if (entry.shape.rows != entry.total) matrix += fmt::format("[{}:{}]", entry.first, entry.first + entry.shape.rows);
    const Tensor* tensor = file.find(entry.tensor);
    if (!tensor) fail(Fault::file, "{}: has no tensor '{}'", file.path(), entry.tensor);
    auto linear = open_matrix(entry.form, {parse_number_format(entry.format), &encoding(entry.input), entry.shape, entry.scale,
                                           {tensor->data, static_cast<std::size_t>(tensor->bytes)}}, 0);
    const Encoding& input = linear->input();
    // Behind the transform, if it has one.
    std::string_view rounding = entry.recipe;
    if (std::size_t bar = rounding.find(" | "); bar != rounding.npos && rounding.find('/') > bar) rounding.remove_prefix(bar + 3);
    records.push_back({matrix, entry.recipe, std::string(input.transform ? input.transform->name : "none"), std::string(before(rounding, "/")),
                       entry.format, entry.form, input.plain().name, input.bits > 0});
  }
  return records;
}

std::string recipe_of(const ModelFile& file) {
  std::string text;
  for (const TensorRecord& record : tensor_records(file)) text += fmt::format("{} = {}\n", record.matrix, record.recipe);
  if (text.empty()) fail(Fault::file, "{}: has no packed matrices, so no recipe", file.path());
  return text;
}

std::string_view grid_axis(const NumberFormat& format) {
  return format.grid.dimension() > 1 ? "vector" : format.grid.is_affine() ? "uniform" : "non-uniform";
}
std::string_view range_axis(const NumberFormat& format) { return format.has_minimum ? "asymmetric" : "symmetric"; }
std::string granularity_axis(const NumberFormat& format) {
  if (format.group_rows == kWholeTensor) return "tensor";
  if (format.group_rows > 1) return fmt::format("block {}x{}", format.group_rows, format.group);
  return format.group == kWholeRow ? "row" : fmt::format("group {}", format.group);
}
std::string_view levels_axis(const FormatRow& row) { return is_learned(row) ? "learned" : row.parameter.empty() || row.parameter == "p" ? "fixed" : "searched"; }

}  // namespace bitkerf
