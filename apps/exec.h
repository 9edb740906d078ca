// How a model is executed: the values of --exec.
#pragma once

#include <span>
#include <string_view>

#include "engine/session.h"

namespace bitkerf {

inline constexpr std::string_view kFloatExec = "float";

struct ExecRow {
  std::string_view name;
  std::string_view about;
  decltype(EngineOptions::load) load;  // of models of language; empty: load_model()
  bool sentences = false;              // verb embed takes it, and no other
};
std::span<const ExecRow> exec_rows();
// Fault::usage that names the known ones, and where the row is for sentences alone.
const ExecRow& exec_row(std::string_view name, bool sentences = false);

}  // namespace bitkerf
