// The objects that statements make: the variable `loop`, and macros.
#pragma once

#include <span>

#include "files/jinja/run.h"

namespace bitkerf::jinja {

struct ForStatement;
struct MacroStatement;

struct Loop {
  Value keep;                               // owns the items
  std::span<const Value> items;
  i64 index = 0;
  i64 depth0 = 0;
  const ForStatement* statement = nullptr;  // for loop(...) in a recursive loop
  std::shared_ptr<Scope> outside;
};

struct Macro {
  const MacroStatement* statement;
  std::shared_ptr<Scope> scope;  // where it was defined
};

Value macro_name(Run& run, const Macro& macro);

}  // namespace bitkerf::jinja
