// From messages to the tokens of a prompt, through the model's own chat template. What somebody wrote in a message
// never becomes a control token, however the template quotes, cuts or joins it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "files/chat_template.h"
#include "files/metadata.h"
#include "files/tokenizer.h"

namespace bitkerf {

struct Message {
  std::string role;  // "system", "user", "assistant", or another that the template knows
  std::string content;
  bool operator==(const Message&) const = default;
};

// The tokens of a rendered prompt: control tokens where the template wrote their spelling, text everywhere else.
// Without such spellings in foreign parts, the same tokens as encode(text, Specials::as_tokens).
class PromptEncoder {
 public:
  explicit PromptEncoder(const Tokenizer& tokenizer);
  std::vector<Token> encode(const std::vector<PromptPart>& parts) const;

 private:
  struct Spelling {
    std::size_t begin, end;
    bool foreign;  // not all of it is the template's
  };
  std::vector<Spelling> find_spellings(const std::string& text, const std::vector<bool>& foreign) const;
  void append_text(std::vector<Token>& tokens, std::string_view text) const;
  bool is_control(Token token) const;

  const Tokenizer& tokenizer_;
  std::vector<std::string> spellings_;           // of all control tokens, sorted by first byte, then longest first
  std::size_t first_of_[257] = {};               // where the spellings with this first byte begin
};

class Conversation {
 public:
  // Reads tokenizer.chat_template. A model without one: Fault::usage.
  Conversation(const Metadata& metadata, const Tokenizer& tokenizer);

  // The prompt that lets the model answer. `more` (an object) holds further variables of the template, such as tools
  // and enable_thinking. What the template refuses: Fault::usage.
  std::vector<Token> prompt(const std::vector<Message>& messages, const Json& more = Json::object()) const;
  std::vector<Token> prompt_of(Json variables) const;  // messages, tools, add_generation_prompt ...
  // The prompt as text, for people.
  std::string render(const std::vector<Message>& messages, const Json& more = Json::object()) const;

 private:
  Json variables(const std::vector<Message>& messages, const Json& more) const;

  ChatTemplate template_;
  PromptEncoder encoder_;
  const Tokenizer& tokenizer_;
  std::string bos_, eos_;
};

}  // namespace bitkerf
