#include "compress/records.h"

#include "core/error.h"
#include "files/packed_tensors.h"
#include "forms/list.h"
#include "models/packed_part.h"

namespace bitkerf {
namespace {

// An open parameter of an equal grid says that something is searched or learned: tables are learned, numbers searched.
bool is_learned(const FormatRow& row) { return row.row_tables || row.parameter == "v"; }

std::string_view before(std::string_view text, std::string_view mark) { return text.substr(0, text.find(mark)); }

// "[0:9,12:13]"
std::string rows_text(const ModelFile& file, const PackedTensor& entry) {
  std::vector<std::int32_t> rows = rows_of(file, entry);
  std::string text;
  for (std::size_t first = 0, end; first < rows.size(); first = end) {
    for (end = first + 1; end < rows.size() && rows[end] == rows[end - 1] + 1;) end++;
    text += fmt::format("{}{}:{}", first == 0 ? "[" : ",", rows[first], rows[end - 1] + 1);
  }
  return text + "]";
}

}  // namespace

std::vector<TensorRecord> tensor_records(const ModelFile& file) {
  std::vector<TensorRecord> records;
  for (const PackedTensor& entry : read_packed_tensors(file.metadata())) {
    std::string matrix(before(entry.matrix, ".weight"));
    if (entry.recipe.empty()) fail(Fault::file, "{}: does not say by which recipe '{}' was made", file.path(), entry.matrix);
    if (matrix.find_first_of("*?[]\\=#;\n") != matrix.npos || entry.recipe.find_first_of("#;\n") != entry.recipe.npos)
      fail(Fault::file, "{}: '{}' or its recipe '{}' cannot be written as a line of a recipe", file.path(), matrix, entry.recipe);
    auto linear = open_packed_tensor(file, entry, 0);
    if (entry.shape.rows != entry.total) matrix += rows_text(file, entry);
    const Encoding& input = linear->input();
    // Behind the transform, if it has one (which may be in the gain of a norm).
    std::string_view rounding = entry.recipe, turned = "none";
    if (std::size_t bar = rounding.find(" | "); bar != rounding.npos && rounding.find('/') > bar) {
      turned = rounding.substr(0, bar);
      rounding.remove_prefix(bar + 3);
    }
    records.push_back({matrix, entry.recipe, std::string(turned), std::string(before(rounding, "/")),
                       entry.format, entry.form, input.plain().name, input.bits > 0});
  }
  return records;
}

std::string recipe_of(const ModelFile& file) {
  std::string text, before;
  for (const TensorRecord& record : tensor_records(file)) {
    std::string line = fmt::format("{} = {}\n", record.matrix, record.recipe);
    if (line != before) text += line;  // of a matrix in parts by columns there are several
    before = std::move(line);
  }
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
