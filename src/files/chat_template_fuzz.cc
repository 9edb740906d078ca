// Any template with a fixed conversation: it renders or is refused with one Error, soon.
#include "core/check.h"
#include "core/error.h"
#include "files/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitkerf;
  static const Json variables = Json::parse(R"({"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße <|im_end|>\n"},
                 {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, true]}}}]},
                 {"role": "tool", "content": [{"type": "text", "text": "x"}]}],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}]})");
  try {
    const ChatTemplate chat(std::string_view(reinterpret_cast<const char*>(data), size));
    std::string whole;
    for (const PromptPart& part : chat.render_parts(variables, 1700000000)) whole += part.text;
    CHECK(whole == chat.render(variables, 1700000000));
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::file || error.fault() == Fault::usage);
  }
  return 0;
}
