#include "models/packed_part.h"

#include <cstring>

#include "core/error.h"

namespace bitkerf {

const Encoding& input_of(const ModelFile& file, const PackedTensor& entry) {
  const Encoding& open = [&]() -> const Encoding& {
    try {
      return encoding(entry.input);
    } catch (const Error& error) {
      fail(Fault::file, "{}: packed matrix '{}': {}", file.path(), entry.tensor, error.what());
    }
  }();
  const bool wanted = open.transform && open.transform->has_parameters();
  if (wanted != !entry.transform.empty())
    fail(Fault::file, "{}: packed matrix '{}' {} parameters of a transform, but its input is {}", file.path(), entry.tensor, wanted ? "has no" : "has", entry.input);
  if (!wanted) return open;
  const Tensor* tensor = file.find(entry.transform);
  if (!tensor || tensor->type->name != "F32") fail(Fault::file, "{}: '{}', which packed matrix '{}' needs, is not there as F32", file.path(), entry.transform, entry.tensor);
  std::vector<float> parameters(static_cast<std::size_t>(tensor->weights()));
  std::memcpy(parameters.data(), tensor->data, parameters.size() * sizeof(float));
  if (!open.transform->fits(entry.shape.cols) || !open.transform->takes(entry.shape.cols, parameters))
    fail(Fault::file, "{}: '{}' does not hold parameters of a transform {} of {} columns", file.path(), entry.transform, open.transform->name, entry.shape.cols);
  return with_parameters(open, entry.shape.cols, parameters);
}

std::vector<std::int32_t> rows_of(const ModelFile& file, const PackedTensor& entry) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(entry.shape.rows));
  for (std::size_t i = 0; i < rows.size(); i++) rows[i] = static_cast<std::int32_t>(entry.first + static_cast<i64>(i));
  if (entry.scattered.empty()) return rows;
  const Tensor* t = file.find(entry.scattered);
  if (!t || t->type->name != "I32" || t->weights() != entry.shape.rows)
    fail(Fault::file, "{}: expected '{}' to hold {} I32, the rows of '{}'", file.path(), entry.scattered, entry.shape.rows, entry.tensor);
  i64 before = -1;
  for (std::size_t i = 0; i < rows.size(); i++) {
    std::int32_t row;
    std::memcpy(&row, t->data + 4 * i, 4);
    if (row <= before || entry.first + row >= entry.total)
      fail(Fault::file, "{}: element {} of '{}' is {}; expected ascending rows of {}", file.path(), i, t->name, row, entry.total - entry.first);
    before = row;
    rows[i] = static_cast<std::int32_t>(entry.first) + row;
  }
  return rows;
}

std::unique_ptr<PackedLinear> open_packed_tensor(const ModelFile& file, const PackedTensor& entry, int read_bits) {
  const Tensor* t = file.find(entry.tensor);
  if (!t) fail(Fault::file, "{}: has no tensor '{}', which holds rows of '{}'", file.path(), entry.tensor, entry.matrix);
  if (t->type->name != "I8") fail(Fault::file, "{}: packed matrix '{}' is stored as {}; expected I8", file.path(), t->name, t->type->name);
  if (reinterpret_cast<std::uintptr_t>(t->data) % kAlignment != 0)
    fail(Fault::file, "{}: packed matrix '{}' does not lie on a {}-byte boundary", file.path(), t->name, kAlignment);
  const Encoding& input = input_of(file, entry);
  try {
    return open_matrix(entry.form, {parse_number_format(entry.format), &input, {entry.shape.rows, input.outputs(entry.shape.cols)}, entry.scale,
                                    {t->data, static_cast<std::size_t>(t->bytes)}}, read_bits);
  } catch (const Error& error) {
    fail(Fault::file, "{}: packed matrix '{}': {}", file.path(), t->name, error.what());
  }
}

}  // namespace bitkerf
