#include "forms/list.h"

#include <string>

#include "core/error.h"
#include "forms/as_stored/form.h"
#include "forms/dense/form.h"

namespace bitkerf {
namespace {

bool holds_all(const StoredType&) { return true; }

// In order of preference: the first that holds a type is taken unless one is forced.
constexpr FormRow kForms[] = {
    {"as_stored", "a file's blocks in panels of 32 rows, multiplied with int8 activations", as_stored_holds, make_as_stored},
    {"stored_float", "a file's blocks, expanded to floats a tile at a time", holds_all, make_stored_float},
    {"dense", "float32; the judge of all others", holds_all, make_dense},
};

}  // namespace

std::span<const FormRow> forms() { return kForms; }

const FormRow& form(std::string_view name) {
  std::string known;
  for (const FormRow& row : kForms) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  fail(Fault::usage, "unknown form '{}': expected one of {}", name, known);
}

std::unique_ptr<Linear> make_linear(const StoredMatrix& matrix, std::string_view forced, Threads& threads) {
  CHECK_EQ(matrix.shape.cols % matrix.type->block, 0);
  if (!forced.empty()) {
    const FormRow& row = form(forced);
    // A forced form that cannot hold a type (a small F32 matrix among quantized ones) leaves that one to the table.
    if (row.holds(*matrix.type)) return row.make(matrix, threads);
  }
  for (const FormRow& row : kForms)
    if (row.holds(*matrix.type)) return row.make(matrix, threads);
  CHECK(false);
}

}  // namespace bitkerf
