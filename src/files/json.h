// JSON from files we do not trust. The parser of nlohmann_json neither recurses nor accepts broken UTF-8; these bound
// what a small file can cost and turn its complaints into ours.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/view.h"

namespace bitkerf {

struct JsonLimits {
  i64 bytes = 1 << 20;    // of the text
  int depth = 16;
  i64 values = 1 << 18;   // each costs up to about 100 bytes of memory, however short its text
};

// Called with what nlohmann_json calls a parser callback; false drops the value. Keys of the outermost object come at
// depth 1.
using JsonFilter = std::function<bool(int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed)>;

// Throws Error{Fault::file}: `where` (the file's name), what and at which byte.
nlohmann::json parse_json(const std::string& where, std::string_view text, const JsonLimits& limits,
                          const JsonFilter& filter = {});

}  // namespace bitkerf
