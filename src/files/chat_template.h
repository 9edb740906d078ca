// The Jinja template that a model file carries, rendered to the prompt the model was trained on.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace bitkerf {

// Keeps the order of keys, as templates that print JSON rely on it.
using Json = nlohmann::ordered_json;

// A stretch of a rendered prompt. What came from the variables is foreign, however the template stripped, cut or
// quoted it, and must not become control tokens; what the template wrote itself may. Roles that every model knows
// and the variables named *_token count as the template's.
struct PromptPart {
  std::string text;
  bool foreign = false;
};

class ChatTemplate {
 public:
  // Parses; throws Error{Fault::file} naming the unsupported or wrong construct with line and column. Filters, tests,
  // functions and methods that are not supported are named in the same way when rendering reaches them.
  explicit ChatTemplate(std::string_view source);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  // Renders with these variables (messages, tools, add_generation_prompt, bos_token, ...). What the template itself
  // raises (raise_exception) is Fault::usage with its text; what never ends or nests too deep is Fault::file.
  // `now` is what strftime_now() prints; the default is the clock.
  std::string render(const Json& variables, std::optional<std::time_t> now = {}) const;
  // The same text in parts that alternate between foreign and not.
  std::vector<PromptPart> render_parts(const Json& variables, std::optional<std::time_t> now = {}) const;

 private:
  struct Program;
  std::unique_ptr<const Program> program_;
};

}  // namespace bitkerf
