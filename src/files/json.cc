#include "files/json.h"

#include "core/error.h"
#include "core/printable.h"

namespace bitkerf {

nlohmann::json parse_json(const std::string& where, std::string_view text, const JsonLimits& limits,
                          const JsonFilter& filter) {
  using Event = nlohmann::json::parse_event_t;
  if (static_cast<i64>(text.size()) > limits.bytes)
    fail(Fault::file, "{}: {} bytes of JSON, expected at most {}", where, text.size(), limits.bytes);
  i64 values = 0;
  auto check = [&](int depth, Event event, nlohmann::json& parsed) {
    if (depth > limits.depth) fail(Fault::file, "{}: JSON nested deeper than {}", where, limits.depth);
    bool starts = event == Event::object_start || event == Event::array_start || event == Event::value;
    if (starts && ++values > limits.values)
      fail(Fault::file, "{}: more than {} values of JSON", where, limits.values);
    return filter ? filter(depth, event, parsed) : true;
  };
  try {
    return nlohmann::json::parse(text, check);
  } catch (const nlohmann::json::exception& error) {
    // "[json.exception.parse_error.101] parse error at ...": the part after the bracket
    std::string_view message = error.what();
    if (std::size_t end = message.find("] "); end != message.npos) message.remove_prefix(end + 2);
    fail(Fault::file, "{}: {}", where, printable(message, 200));
  }
}

}  // namespace bitkerf
