// Which tokens begin, end and separate texts. Files name some by id; the others are known by their text, because
// most converters never wrote the ids down.
#include <algorithm>
#include <unordered_map>

#include "core/error.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {
namespace {

// Names that are control tokens wherever they occur, and whether they end a generation.
struct KnownName {
  std::string_view name;
  bool ends;
  bool if_control = false;  // only where the file says that it is a control token
};
constexpr KnownName kKnownNames[] = {
    {"<|eot_id|>", true},           // Llama 3
    {"<|eom_id|>", true},
    {"<|end_of_text|>", true},      // Granite
    {"<|im_end|>", true},           // ChatML: SmolLM2, Qwen
    {"<|endoftext|>", true},        // GPT-2
    {"<|end|>", true},              // Phi-3
    {"<|return|>", true},           // harmony
    {"<|call|>", true},
    {"<|calls|>", true},            // Solar
    {"<|flush|>", true},
    {"<end_of_turn>", true},        // Gemma 2, 3
    {"<eos>", true},
    {"<turn|>", true},              // Gemma 4
    {"<|tool_response>", true},
    {"</s>", true, true},           // Llama 1, 2; in Qwen and Gemma 4 it is an HTML tag
    {"<EOT>", true},                // CodeLlama
    {"_<EOT>", true},
    {"[EOT]", true},                // Kimi
    {"[EOS]", true},
    {"<end_of_utterance>", true},   // SmolVLM
    {"<｜end▁of▁sentence｜>", true},  // DeepSeek
    {"[e~[", true},                 // MiniMax
    // Fill in the middle: padding, repository and file marks end what a model writes.
    {"<|fim_pad|>", true},
    {"<fim-pad>", true},
    {"<fim_pad>", true},
    {"<PAD>", true},
    {"[PAD]", true},
    {"<|fim_repo|>", true},
    {"<|repo_name|>", true},
    {"<fim-repo>", true},
    {"<REPO>", true},
    {"<reponame>", true},
    {"<|file_sep|>", true},
    {"<|fim_prefix|>", false},
    {"<fim-prefix>", false},
    {"<fim_prefix>", false},
    {"<｜fim▁begin｜>", false},
    {"<PRE>", false},
    {"▁<PRE>", false},
    {"<|code_prefix|>", false},
    {"<|fim_suffix|>", false},
    {"<fim-suffix>", false},
    {"<fim_suffix>", false},
    {"<｜fim▁hole｜>", false},
    {"<SUF>", false},
    {"▁<SUF>", false},
    {"<|code_suffix|>", false},
    {"<|fim_middle|>", false},
    {"<fim-middle>", false},
    {"<fim_middle>", false},
    {"<｜fim▁end｜>", false},
    {"<MID>", false},
    {"▁<MID>", false},
    {"<|code_middle|>", false},
};

Token read_id(const Metadata& metadata, std::string_view key, i64 size, Token otherwise) {
  constexpr i64 kNone = 0xFFFFFFFF;  // -1 as the unsigned integer that most files store
  const i64 id = metadata.integer(key, -1, kNone, otherwise < size ? otherwise : -1);
  if (id == -1 || id == kNone) return -1;
  if (id >= size)
    fail(Fault::file, "{}: {} is {}, expected an id below {} (the tokens of tokenizer.ggml.tokens)", metadata.where(),
         key, id, size);
  return static_cast<Token>(id);
}

bool read_adds(const Metadata& metadata, std::string_view key, Token token, bool otherwise) {
  const bool adds = metadata.boolean(key, otherwise);
  if (adds && token < 0 && metadata.has(key))
    fail(Fault::file, "{}: {} is true, but the file names no such token", metadata.where(), key);
  return adds && token >= 0;
}

}  // namespace

SpecialTokens read_special_tokens(const Metadata& metadata, const SpecialDefaults& defaults, Vocabulary& vocabulary) {
  const i64 size = vocabulary.size();
  SpecialTokens special;
  special.bos = read_id(metadata, "tokenizer.ggml.bos_token_id", size, defaults.bos);
  special.eos = read_id(metadata, "tokenizer.ggml.eos_token_id", size, defaults.eos);
  special.unknown = read_id(metadata, "tokenizer.ggml.unknown_token_id", size, defaults.unknown);
  special.separator = read_id(metadata, "tokenizer.ggml.seperator_token_id", size, defaults.separator);
  special.adds_bos = read_adds(metadata, "tokenizer.ggml.add_bos_token", special.bos, defaults.adds_bos);
  special.adds_eos = read_adds(metadata, "tokenizer.ggml.add_eos_token", special.eos, defaults.adds_eos);

  std::vector<Token>& ends = special.ends;
  for (std::string_view key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
                               "tokenizer.ggml.fim_pad_token_id", "tokenizer.ggml.fim_rep_token_id",
                               "tokenizer.ggml.fim_sep_token_id"})
    ends.push_back(read_id(metadata, key, size, -1));
  ends.push_back(special.eos);

  std::unordered_map<std::string_view, const KnownName*> known;
  for (const KnownName& row : kKnownNames) known.emplace(row.name, &row);
  std::unordered_map<std::string_view, Token> found;
  for (Token token = 0; token < size; token++) {
    const std::string_view text = vocabulary.text(token);
    if (text.empty() || text.size() > 32) continue;
    const auto row = known.find(text);
    if (row == known.end()) continue;
    if (row->second->if_control && vocabulary.type(token) != TokenType::control) continue;
    found.emplace(row->first, token);
    vocabulary.set_type(token, TokenType::control);
    if (row->second->ends) ends.push_back(token);
  }

  const auto has = [&](std::string_view name) { return found.count(name) > 0; };
  // In harmony and Solar <|end|> ends a message inside an answer, not the answer.
  if (has("<|end|>") && (has("<|return|>") || has("<|flush|>")) && (has("<|call|>") || has("<|calls|>")))
    std::erase(ends, found["<|end|>"]);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::erase(ends, -1);
  return special;
}

}  // namespace bitkerf
