// Every way to hold a weight matrix in memory: one row per form, in list.cc. The loader, `--list`, tests, benches
// and (later) the planner loop over the table.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "formats/stored.h"
#include "forms/linear.h"

namespace bitkerf {

// A matrix as it lies in a file: `shape.rows` rows of `type` blocks. cols is a multiple of type->block.
struct StoredMatrix {
  const StoredType* type;
  const std::byte* data;  // may be unaligned; not owned
  Shape shape;
};

struct FormRow {
  std::string_view name;
  std::string_view about;
  bool (*holds)(const StoredType& type);
  // Packs a copy; `matrix.data` is not needed afterwards.
  std::unique_ptr<Linear> (*make)(const StoredMatrix& matrix, Threads& threads);
};
std::span<const FormRow> forms();
const FormRow& form(std::string_view name);  // unknown names answer with the known ones (Fault::usage)

// The form that is fastest for this type here; `forced` (may be empty) names another one.
std::unique_ptr<Linear> make_linear(const StoredMatrix& matrix, std::string_view forced, Threads& threads);

}  // namespace bitkerf
