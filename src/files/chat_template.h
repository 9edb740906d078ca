// The Jinja template that a model file carries, rendered to the prompt the model was trained on.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace bitkerf {

// Keeps the order of keys, as templates that print JSON rely on it.
using Json = nlohmann::ordered_json;

class ChatTemplate {
 public:
  // Parses; throws Error{Fault::file} naming the unsupported or wrong construct with line and column.
  explicit ChatTemplate(std::string_view source);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  // Renders with these variables (messages, tools, add_generation_prompt, bos_token, ...). What the template itself
  // raises (raise_exception) is Fault::usage with its text; what never ends or nests too deep is Fault::file.
  std::string render(const Json& variables) const;

 private:
  struct Program;
  std::unique_ptr<const Program> program_;
};

}  // namespace bitkerf
