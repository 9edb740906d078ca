// Hostile tables and hostile text. The first byte says which:
//   0  text for good vocabularies of every kind; text must come back and never become a control token
//   1  tables: token types, texts and merges from the input, then a text
//   2  a tokenizer.json, then (behind a zero byte) a text
#include <cstdint>
#include <cstdlib>

#include "core/check.h"
#include "core/error.h"
#include "files/huggingface_tokenizer.h"
#include "files/tokenizer.h"
#include "files/tokenizers/utf8.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {
namespace {

struct Input {
  std::string_view left;

  std::uint8_t byte() {
    if (left.empty()) return 0;
    const std::uint8_t value = static_cast<std::uint8_t>(left[0]);
    left.remove_prefix(1);
    return value;
  }
  std::string text() {  // its length, then its bytes
    const std::size_t length = std::min<std::size_t>(byte(), left.size());
    std::string value(left.substr(0, length));
    left.remove_prefix(length);
    return value;
  }
};

void set_tables(Metadata& metadata, std::string_view model, std::vector<std::string> tokens,
                std::vector<std::int32_t> types, std::vector<std::string> merges) {
  std::vector<float> scores;
  for (std::size_t i = 0; i < tokens.size(); i++) scores.push_back(-static_cast<float>(i % 7));
  metadata.set("tokenizer.ggml.model", std::string(model));
  metadata.set("tokenizer.ggml.tokens", MetadataArray(std::move(tokens)));
  metadata.set("tokenizer.ggml.scores", MetadataArray(std::move(scores)));
  metadata.set("tokenizer.ggml.token_type", MetadataArray(std::move(types)));
  metadata.set("tokenizer.ggml.merges", MetadataArray(std::move(merges)));
}

// All bytes, some pieces, a control and a user-defined token.
std::unique_ptr<Tokenizer> good_tokenizer(std::string_view model, std::string_view pre) {
  const bool byte_level = model == "gpt2";
  std::vector<std::string> tokens, merges;
  std::vector<std::int32_t> types;
  const auto add = [&](std::string text, int type) {
    tokens.push_back(std::move(text));
    types.push_back(type);
  };
  add("<unk>", 2), add("<|end|>", 3), add("<x>", 4);
  for (int byte = 0; byte < 256; byte++) {
    const int code = stand_in_of_byte(static_cast<std::uint8_t>(byte));
    std::string text = code < 0x80 ? std::string(1, static_cast<char>(code))
                                   : std::string{static_cast<char>(0xC0 | code >> 6),
                                                 static_cast<char>(0x80 | (code & 0x3F))};
    if (byte_level) add(text, 1);
    else add(fmt::format("<0x{:02X}>", byte), 6);
  }
  if (!byte_level)
    for (const char* text : {"▁", "a", "b", "é", "\n", "1"}) add(text, 1);
  const std::string_view space = byte_level ? "Ġ" : "▁";
  for (const auto& [left, right] : {std::pair<std::string, std::string>{"a", "b"}, {"a", "a"}, {"aa", "aa"},
                                    {std::string(space), "a"}, {std::string(space), std::string(space)}}) {
    add(left + right, 1);
    merges.push_back(left + " " + right);
  }
  Metadata metadata("fuzz");
  set_tables(metadata, model, tokens, types, merges);
  metadata.set("tokenizer.ggml.pre", std::string(pre));
  metadata.set("tokenizer.ggml.unknown_token_id", std::int32_t{0});
  metadata.set("tokenizer.ggml.bos_token_id", std::int32_t{-1});
  metadata.set("tokenizer.ggml.eos_token_id", std::int32_t{1});
  metadata.set("tokenizer.ggml.seperator_token_id", std::int32_t{-1});
  return make_tokenizer(metadata);
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const int length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

void use(const Tokenizer& tokenizer, std::string_view text) {
  for (Specials specials : {Specials::as_text, Specials::as_tokens}) {
    const std::vector<Token> tokens = tokenizer.encode(text, specials);
    StreamDecoder stream(tokenizer, true);
    std::string streamed;
    for (Token token : tokens) {
      CHECK(token >= 0 && token < tokenizer.size());
      streamed += stream.add(token);
    }
    streamed += stream.finish();
    const std::string decoded = tokenizer.decode(tokens);
    if (is_utf8(decoded)) CHECK(streamed == decoded);
    tokenizer.decode(tokens, true);
  }
}

void fuzz_text(std::string_view text) {
  static const auto gpt2 = good_tokenizer("gpt2", "gpt-2"), llama3 = good_tokenizer("gpt2", "llama-bpe"),
                    deepseek = good_tokenizer("gpt2", "deepseek-llm"), gpt4o = good_tokenizer("gpt2", "gpt-4o"),
                    superbpe = good_tokenizer("gpt2", "superbpe"), kimi = good_tokenizer("gpt2", "kimi-k2"),
                    exaone = good_tokenizer("gpt2", "exaone-moe"), spm = good_tokenizer("llama", "default"),
                    gemma = good_tokenizer("gemma4", "gemma4"), bert = good_tokenizer("bert", "default"),
                    t5 = good_tokenizer("t5", "default");
  const bool marker = text.find("\xE2\x96\x81") != std::string_view::npos;
  for (const auto* tokenizer :
       {&gpt2, &llama3, &deepseek, &gpt4o, &superbpe, &kimi, &exaone, &spm, &gemma, &bert, &t5}) {
    const std::vector<Token> tokens = (*tokenizer)->encode(text, Specials::as_text);
    for (Token token : tokens) CHECK(!(*tokenizer)->is_control(token));
    if (tokenizer == &bert || tokenizer == &t5) continue;
    if (tokenizer != &spm && tokenizer != &gemma) {
      CHECK((*tokenizer)->decode(tokens) == text);
    } else if (!marker) {
      // A user-defined token starts a new text, which gets a space in front again.
      if (tokenizer == &gemma || text.find("<x>") == std::string_view::npos)
        CHECK((*tokenizer)->decode(tokens) == text);
    }
    use(**tokenizer, text);
  }
}

void fuzz_tables(Input input) {
  constexpr std::string_view kModels[] = {"gpt2", "llama", "gemma4", "bert", "t5", "bitkerf.characters"};
  const std::string_view model = kModels[input.byte() % std::size(kModels)];
  const int flags = input.byte();
  std::vector<std::string> tokens, merges;
  std::vector<std::int32_t> types;
  for (int count = input.byte(); count > 0; count--) {
    types.push_back(input.byte() % 8);
    tokens.push_back(input.text());
  }
  for (int count = input.byte(); count > 0; count--) merges.push_back(input.text());
  Metadata metadata("fuzz");
  set_tables(metadata, model, tokens, types, merges);
  metadata.set("tokenizer.ggml.bos_token_id", static_cast<std::int32_t>(input.byte()) - 1);
  metadata.set("tokenizer.ggml.unknown_token_id", static_cast<std::int32_t>(input.byte()) - 1);
  if (flags & 1) metadata.set("tokenizer.ggml.add_space_prefix", true);
  if (flags & 2) metadata.set("tokenizer.ggml.remove_extra_whitespaces", true);
  if (flags & 4) metadata.set("bitkerf.tokenizer.patterns", MetadataArray(std::vector<std::string>{input.text()}));
  if (flags & 8) {
    const std::string map = input.text();
    metadata.set("tokenizer.ggml.precompiled_charsmap",
                 MetadataArray(std::vector<std::uint8_t>(map.begin(), map.end())));
  }
  if (flags & 16) metadata.set("bitkerf.tokenizer.normalizers", MetadataArray(std::vector<std::string>{"nfkc"}));
  use(*make_tokenizer(metadata), input.left);
}

void fuzz_json(std::string_view input) {
  const std::size_t end = std::min(input.find('\0'), input.size());
  Metadata metadata("fuzz");
  translate_tokenizer("fuzz", input.substr(0, end), R"({"eos_token": "</s>"})", metadata);
  use(*make_tokenizer(metadata), input.substr(std::min(end + 1, input.size())));
}

}  // namespace
}  // namespace bitkerf

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitkerf;
  Input input{{reinterpret_cast<const char*>(data), size}};
  try {
    const int mode = input.byte() % 3;
    if (mode == 0) fuzz_text(input.left);
    if (mode == 1) fuzz_tables(input);
    if (mode == 2) fuzz_json(input.left);
  } catch (const Error&) {
  }
  return 0;
}
