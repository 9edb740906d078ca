// Renders a chat template, for tests/peers/compare_chat_templates.py: reads JSON objects, one a line,
//   {"template": "...", "variables": {...}, "now": 1700000000}
// and answers each with {"text": "..."} or {"fault": "file", "error": "..."}.
#include <iostream>
#include <string>

#include "core/error.h"
#include "files/chat_template.h"

int main() {
  using bitkerf::Json;
  for (std::string line; std::getline(std::cin, line);) {
    const Json request = Json::parse(line);
    Json answer;
    try {
      const bitkerf::ChatTemplate chat(request["template"].get<std::string>());
      answer["text"] = chat.render(request["variables"], request["now"].get<std::time_t>());
    } catch (const bitkerf::Error& error) {
      answer["fault"] = error.fault() == bitkerf::Fault::usage ? "usage" : "file";
      answer["error"] = error.what();
    }
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
}
