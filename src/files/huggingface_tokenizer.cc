// tokenizer.json describes a tokenizer as a pipeline: added tokens, normalizer, pre_tokenizer, model, post_processor,
// decoder. Every part is translated to what our tokenizers do, or refused by its name; nothing is skipped silently.
#include "files/huggingface_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"
#include "core/printable.h"
#include "files/json.h"
#include "files/mapped_file.h"
#include "files/tokenizers/tokenizer_json.h"
#include "files/tokenizers/utf8.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kGpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
constexpr i64 kMostHoles = 1 << 16;  // ids without a token, which padded vocabularies have some thousand of

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// Members of JSON objects, checked.
struct Reader {
  const std::string& where;

  [[noreturn]] void refuse(std::string_view what) const { fail(Fault::file, "{}: {}", where, what); }
  const Json* find(const Json& object, const char* key) const {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }
  std::string text(const Json& object, const char* key, std::string_view otherwise = "") const {
    const Json* found = find(object, key);
    if (!found) return std::string(otherwise);
    if (!found->is_string()) refuse(fmt::format("{} is not a text", key));
    return found->get<std::string>();
  }
  bool boolean(const Json& object, const char* key, bool otherwise) const {
    const Json* found = find(object, key);
    if (!found) return otherwise;
    if (!found->is_boolean()) refuse(fmt::format("{} is neither true nor false", key));
    return found->get<bool>();
  }
  i64 integer(const Json& object, const char* key, i64 low, i64 high, i64 otherwise) const {
    const Json* found = find(object, key);
    if (!found) return otherwise;
    if (!found->is_number_integer() || found->get<i64>() < low || found->get<i64>() > high)
      refuse(fmt::format("{} is not an integer from {} to {}", key, low, high));
    return found->get<i64>();
  }
  const Json& list(const Json& object, const char* key) const {
    static const Json kEmpty = Json::array();
    const Json* found = find(object, key);
    if (!found) return kEmpty;
    if (!found->is_array()) refuse(fmt::format("{} is not a list", key));
    return *found;
  }
};

// The steps of a part, with sequences opened: Sequence{normalizers: [...]} and the like.
std::vector<const Json*> steps_of(const Reader& read, const Json& root, const char* part, const char* list) {
  std::vector<const Json*> steps;
  const auto open = [&](const auto& self, const Json& step) -> void {
    if (read.text(step, "type") == "Sequence") {
      for (const Json& inner : read.list(step, list)) self(self, inner);
    } else {
      steps.push_back(&step);
    }
  };
  if (const Json* step = read.find(root, part)) open(open, *step);
  return steps;
}

// What is collected before it is set.
struct Translation {
  const Reader& read;
  const Json& root;
  TokenizerJson& tables;
  Metadata& metadata;

  std::string kind{};                    // BPE, WordPiece, Unigram
  bool byte_level = false;
  bool marks_spaces = false;             // a normalizer or Metaspace writes spaces as U+2581
  bool space_first = false;
  std::string space_prefix = "always";
  bool merges_spaces = false, strips_ends = false;
  bool bert_words = false;
  std::vector<std::string> patterns{}, normalizers{};

  [[noreturn]] void unsupported(std::string_view part, const Json& step) const {
    std::string text = step.dump(-1, ' ', true, Json::error_handler_t::replace);
    read.refuse(fmt::format("{} {} is not supported", part, printable(text, 160)));
  }

  void normalizer(const Json& step) {
    const std::string type = read.text(step, "type");
    constexpr std::pair<std::string_view, std::string_view> kNames[] = {
        {"NFC", "nfc"},   {"NFD", "nfd"},           {"NFKC", "nfkc"},
        {"NFKD", "nfkd"}, {"Lowercase", "lowercase"}, {"StripAccents", "strip_accents"}};
    for (const auto& [name, ours] : kNames)
      if (type == name) return normalizers.emplace_back(ours), void();
    if (type == "Prepend" && read.text(step, "prepend") == kSpaceMarker) {
      space_first = true;
    } else if (type == "Replace") {
      const Json* pattern = read.find(step, "pattern");
      const std::string content = read.text(step, "content");
      const bool to_space = content == " " || content == kSpaceMarker;
      if (pattern && read.text(*pattern, "String") == " " && content == kSpaceMarker) {
        marks_spaces = true;
      } else if (pattern && read.text(*pattern, "Regex") == " {2,}" && to_space && kind == "Unigram") {
        merges_spaces = true;
      } else {
        unsupported("normalizer", step);
      }
    } else if (type == "Precompiled" && kind == "Unigram") {
      metadata.set("tokenizer.ggml.precompiled_charsmap", MetadataArray(charsmap(step)));
    } else if (type == "Strip" && kind == "Unigram" && read.boolean(step, "strip_right", true)) {
      strips_ends = true;
    } else if (type == "BertNormalizer" && kind == "WordPiece") {
      if (!read.boolean(step, "clean_text", true) || !read.boolean(step, "handle_chinese_chars", true))
        unsupported("normalizer", step);
      const bool lowercase = read.boolean(step, "lowercase", true);
      metadata.set("tokenizer.ggml.normalizer.lowercase", lowercase);
      metadata.set("tokenizer.ggml.normalizer.strip_accents", read.boolean(step, "strip_accents", lowercase));
    } else {
      unsupported("normalizer", step);
    }
  }

  std::vector<std::uint8_t> charsmap(const Json& step) const {
    std::vector<std::uint8_t> bytes;
    std::uint32_t bits = 0;
    int count = 0;
    for (char c : read.text(step, "precompiled_charsmap")) {  // base64
      const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                        : c >= 'a' && c <= 'z' ? c - 'a' + 26
                        : c >= '0' && c <= '9' ? c - '0' + 52
                        : c == '+'             ? 62
                        : c == '/'             ? 63
                                               : -1;
      if (c == '=') break;
      if (value < 0) read.refuse("precompiled_charsmap is not base64");
      bits = bits << 6 | static_cast<std::uint32_t>(value);
      if ((count += 6) >= 8) bytes.push_back(static_cast<std::uint8_t>(bits >> (count -= 8)));
    }
    return bytes;
  }

  // A pattern in the dialect of the Rust crates, where PCRE2 reads it the same way.
  std::string pattern(const Json& step, const std::string& source) const {
    for (std::string_view other : {"&&", "\\h", "\\H", "\\w", "\\W", "\\X", "\\R", "\\Q", "\\K", "(*", "(?R"})
      if (source.find(other) != std::string::npos) unsupported("pre_tokenizer", step);
    return source;
  }

  void split(const Json& step) {
    const Json* pattern_of = read.find(step, "pattern");
    if (!pattern_of) unsupported("pre_tokenizer", step);
    const std::string regex = read.text(*pattern_of, "Regex"), literal = read.text(*pattern_of, "String");
    const std::string behavior = read.text(step, "behavior");
    const bool invert = read.boolean(step, "invert", false);
    // With spaces written as U+2581 there is none left to split at.
    if (regex.empty() && literal == " " && marks_spaces) return;
    // Inverted, with what is not matched removed: the matches are the pieces, and they cover all text.
    const bool isolated = behavior == "Isolated" || (behavior == "Removed" && invert);
    if (!isolated || (regex.empty() && literal.empty())) unsupported("pre_tokenizer", step);
    if (!regex.empty()) {
      patterns.push_back(pattern(step, regex));
      return;
    }
    std::string escaped;
    for (char c : literal) {
      const bool word = (c & 0x80) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!word) escaped += '\\';
      escaped += c;
    }
    patterns.push_back(escaped);
  }

  void pre_tokenizer(const Json& step, bool first) {
    const std::string type = read.text(step, "type");
    if (type == "BertPreTokenizer" && kind == "WordPiece") {
      bert_words = true;
    } else if (type == "Metaspace") {
      metaspace(step);
    } else if (type == "WhitespaceSplit" && kind == "Unigram") {
      merges_spaces = strips_ends = true;
    } else if (kind != "BPE" || byte_level) {
      // Behind ByteLevel, steps would see stand-ins for bytes, some of which are digits or signs.
      unsupported("pre_tokenizer", step);
    } else if (type == "Split") {
      split(step);
    } else if (type == "Digits") {
      patterns.push_back(read.boolean(step, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    } else if (type == "Punctuation") {
      const std::string behavior = read.text(step, "behavior", "Isolated");
      if (behavior != "Isolated" && behavior != "Contiguous") unsupported("pre_tokenizer", step);
      patterns.push_back(behavior == "Isolated" ? "[\\p{P}$+<=>^`|~]" : "[\\p{P}$+<=>^`|~]+");
    } else if (type == "ByteLevel") {
      byte_level = true;
      if (read.boolean(step, "add_prefix_space", true)) {
        if (!first) unsupported("pre_tokenizer", step);
        space_first = true;
      }
      if (read.boolean(step, "use_regex", true)) patterns.emplace_back(kGpt2Pattern);
    } else {
      unsupported("pre_tokenizer", step);
    }
  }

  void metaspace(const Json& step) {
    if (read.text(step, "replacement", kSpaceMarker) != kSpaceMarker) unsupported("pre_tokenizer", step);
    marks_spaces = true;
    const std::string scheme =
        read.text(step, "prepend_scheme", read.boolean(step, "add_prefix_space", true) ? "always" : "never");
    if (scheme != "always" && scheme != "first" && scheme != "never") unsupported("pre_tokenizer", step);
    space_first = scheme != "never";
    space_prefix = scheme == "first" ? "first_missing" : "missing";
    if (kind == "BPE" && read.boolean(step, "split", true)) patterns.emplace_back("\\x{2581}[^\\x{2581}]*");
  }

  // Token texts and types, as a GGUF file would have them.
  void vocabulary() {
    const Json& model = root["model"];
    i64 size = 0;
    for (const TokenizerJson::Entry& entry : tables.vocabulary) size = std::max(size, entry.id + 1);
    struct Added {
      i64 id;
      std::string text;
      bool special;
    };
    std::vector<Added> added;
    std::vector<std::int32_t> strips_left, strips_right;
    for (const Json& token : read.list(root, "added_tokens")) {
      const i64 id = read.integer(token, "id", 0, kMostTokens - 1, -1);
      if (id < 0) read.refuse("an added token has no id");
      if (read.boolean(token, "single_word", false)) unsupported("added token with single_word", token);
      if (read.boolean(token, "lstrip", false)) strips_left.push_back(static_cast<std::int32_t>(id));
      if (read.boolean(token, "rstrip", false)) strips_right.push_back(static_cast<std::int32_t>(id));
      added.push_back({id, read.text(token, "content"), read.boolean(token, "special", false)});
      size = std::max(size, id + 1);
    }
    const i64 entries = static_cast<i64>(tables.vocabulary.size() + added.size());
    if (size > entries + kMostHoles)
      read.refuse(fmt::format("the largest token id is {}, but there are only {} tokens", size - 1, entries));

    constexpr std::int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6;
    std::vector<std::string> texts(size);
    std::vector<std::int32_t> types(size, kUnused);
    std::vector<float> scores(tables.has_scores ? size : 0);
    const bool byte_fallback = read.boolean(model, "byte_fallback", false) && !byte_level;
    const std::string continuing = read.text(model, "continuing_subword_prefix");
    std::unordered_map<i64, const std::string*> names;
    for (const TokenizerJson::Entry& entry : tables.vocabulary) {
      if (!names.emplace(entry.id, &entry.text).second)
        read.refuse(fmt::format("model.vocab has the id {} twice", entry.id));
      texts[entry.id] = kind == "WordPiece" ? word_piece(entry.text, continuing) : entry.text;
      types[entry.id] = byte_fallback && is_byte_name(entry.text) ? kByte : kNormal;
      if (tables.has_scores) scores[entry.id] = static_cast<float>(entry.score);
    }
    for (const Added& token : added) {
      const auto known = names.find(token.id);
      if (known != names.end() && *known->second != token.text)
        read.refuse(fmt::format("token {} is \"{}\" in model.vocab and \"{}\" in added_tokens", token.id,
                                printable(*known->second), printable(token.text)));
      // A row of markers is matched after spaces have become markers, by the merges.
      if (known != names.end() && !token.special && token.text.find(kSpaceMarker) != std::string::npos) continue;
      texts[token.id] = token.text;
      types[token.id] = token.special ? kControl : kUserDefined;
    }

    i64 unknown = -1;
    if (kind == "Unigram") {
      unknown = read.integer(model, "unk_id", 0, size - 1, -1);
    } else if (const std::string name = read.text(model, "unk_token"); !name.empty()) {
      for (const auto& [id, text] : names)
        if (*text == name) unknown = id;
      for (const Added& token : added)
        if (token.text == name) unknown = token.id;
      if (unknown < 0) read.refuse(fmt::format("unk_token \"{}\" is no token", printable(name)));
    }
    if (unknown >= 0) {
      // <unk> and the like are there for text; the end of text, which GPT-2's descendants name here, is not.
      if (types[unknown] == kNormal) texts[unknown] = *names[unknown];
      if (types[unknown] == kNormal || (types[unknown] == kControl && !byte_level)) types[unknown] = kUnknown;
      metadata.set("tokenizer.ggml.unknown_token_id", static_cast<std::uint32_t>(unknown));
    } else {
      metadata.set("tokenizer.ggml.unknown_token_id", std::int32_t{-1});
    }
    metadata.set("tokenizer.ggml.tokens", MetadataArray(std::move(texts)));
    metadata.set("tokenizer.ggml.token_type", MetadataArray(std::move(types)));
    if (tables.has_scores) metadata.set("tokenizer.ggml.scores", MetadataArray(std::move(scores)));
    metadata.set("bitkerf.tokenizer.strips_left", MetadataArray(std::move(strips_left)));
    metadata.set("bitkerf.tokenizer.strips_right", MetadataArray(std::move(strips_right)));
  }

  static bool is_byte_name(const std::string& text) {
    return text.size() == 6 && text.starts_with("<0x") && text[5] == '>' &&
           text.find_first_not_of("0123456789ABCDEFabcdef", 3) == 5;
  }
  // "##ing" continues a word and "the" starts one; GGUF writes "ing" and U+2581 "the".
  static std::string word_piece(const std::string& text, const std::string& continuing) {
    if (!continuing.empty() && text.size() > continuing.size() && text.starts_with(continuing))
      return text.substr(continuing.size());
    return std::string(kSpaceMarker) + text;
  }

  void model() {
    const Json& model = root["model"];
    if (kind == "BPE") {
      for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
        if (!read.text(model, key).empty()) read.refuse(fmt::format("model.{} is not supported", key));
      const Json* dropout = read.find(model, "dropout");
      if (dropout && *dropout != 0) read.refuse("model.dropout is not supported");
      if (tables.has_scores) read.refuse("model.vocab is a list, expected a map for BPE");
      if (!byte_level && read.boolean(model, "fuse_unk", false) && !read.boolean(model, "byte_fallback", false))
        read.refuse("model.fuse_unk without byte_fallback is not supported");
      metadata.set("tokenizer.ggml.model", std::string(byte_level ? "gpt2" : "bitkerf.characters"));
      metadata.set("tokenizer.ggml.merges", MetadataArray(std::move(tables.merges)));
      metadata.set("bitkerf.tokenizer.patterns", MetadataArray(std::move(patterns)));
      metadata.set("bitkerf.tokenizer.ignore_merges", read.boolean(model, "ignore_merges", false));
      if (byte_level && marks_spaces) read.refuse("pre_tokenizer with both ByteLevel and U+2581 is not supported");
      if (!byte_level && !marks_spaces)
        read.refuse("BPE without ByteLevel and without U+2581 for spaces is not supported");
    } else if (kind == "WordPiece") {
      if (!bert_words) read.refuse("WordPiece without BertPreTokenizer is not supported");
      metadata.set("tokenizer.ggml.model", std::string("bert"));
      metadata.set("bitkerf.tokenizer.max_word_characters",
                   read.integer(model, "max_input_chars_per_word", 1, i64{1} << 30, 100));
    } else {
      if (!tables.has_scores) read.refuse("model.vocab is a map, expected a list of [text, score] for Unigram");
      if (!marks_spaces) read.refuse("Unigram without Metaspace is not supported");
      metadata.set("tokenizer.ggml.model", std::string("t5"));
      if (strips_ends && !merges_spaces)
        read.refuse("normalizer Strip without Replace of rows of spaces is not supported");
      metadata.set("tokenizer.ggml.remove_extra_whitespaces", merges_spaces);
      metadata.set("bitkerf.tokenizer.keep_space_at_ends", merges_spaces && !strips_ends);
      metadata.set("bitkerf.tokenizer.byte_fallback", read.boolean(model, "byte_fallback", false));
    }
    if (kind != "WordPiece") {
      metadata.set("tokenizer.ggml.add_space_prefix", space_first);
      metadata.set("bitkerf.tokenizer.space_prefix", space_prefix);
    }
    if (!normalizers.empty()) metadata.set("bitkerf.tokenizer.normalizers", MetadataArray(std::move(normalizers)));
  }
};

// Which tokens go around a prompt: what the post-processor says, and tokenizer_config.json where it is explicit.
class Surroundings {
 public:
  Surroundings(const Reader& read, const Json& root, const Json& config, Metadata& metadata)
      : read_(read) {
    const std::vector<std::string>& texts = *metadata.texts("tokenizer.ggml.tokens");
    for (std::size_t id = 0; id < texts.size(); id++) ids_.emplace(texts[id], static_cast<i64>(id));
    for (const Json* step : steps_of(read, root, "post_processor", "processors")) post_processor(*step);

    i64 bos = named(config, "bos_token"), eos = named(config, "eos_token");
    const bool adds_bos = read.boolean(config, "add_bos_token", before_ >= 0);
    const bool adds_eos = read.boolean(config, "add_eos_token", behind_ >= 0);
    const bool word_piece = metadata.text("tokenizer.ggml.model") == "bert";
    if (before_ >= 0) bos = before_;
    if (word_piece) {
      metadata.set("tokenizer.ggml.seperator_token_id", id_value(behind_));
    } else if (behind_ >= 0 && eos >= 0 && behind_ != eos && adds_eos) {
      read.refuse(fmt::format("post_processor ends a text with token {}, but eos_token is {}", behind_, eos));
    } else if (eos < 0) {
      eos = behind_;
    }
    metadata.set("tokenizer.ggml.bos_token_id", id_value(bos));
    metadata.set("tokenizer.ggml.eos_token_id", id_value(eos));
    metadata.set("tokenizer.ggml.add_bos_token", adds_bos && bos >= 0);
    metadata.set("tokenizer.ggml.add_eos_token", adds_eos && eos >= 0);
  }

 private:
  static std::uint32_t id_value(i64 id) { return static_cast<std::uint32_t>(id); }  // -1 as GGUF files have it

  i64 id_of(const std::string& text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() ? -1 : found->second;
  }
  // "bos_token": "<s>" or {"content": "<s>"}; -1 when absent or no token.
  i64 named(const Json& config, const char* key) const {
    const Json* value = read_.find(config, key);
    if (!value) return -1;
    return id_of(value->is_object() ? read_.text(*value, "content") : read_.text(config, key));
  }
  void post_processor(const Json& step) {
    const std::string type = read_.text(step, "type");
    if (type == "ByteLevel") return;  // only moves offsets
    if (type == "BertProcessing" || type == "RobertaProcessing") {
      for (const auto& [key, side] : {std::pair{"cls", &before_}, std::pair{"sep", &behind_}}) {
        const Json* pair = read_.find(step, key);
        if (!pair || !pair->is_array() || pair->empty() || !(*pair)[0].is_string())
          read_.refuse(fmt::format("post_processor {} has no \"{}\"", type, key));
        set(*side, (*pair)[0].get<std::string>());
      }
      return;
    }
    if (type != "TemplateProcessing") read_.refuse(fmt::format("post_processor {} is not supported", printable(type)));
    bool text_seen = false;
    for (const Json& item : read_.list(step, "single")) {
      if (read_.find(item, "Sequence")) {
        text_seen = true;
      } else if (const Json* special = read_.find(item, "SpecialToken")) {
        set(text_seen ? behind_ : before_, read_.text(*special, "id"));
      }
    }
  }
  void set(i64& side, const std::string& name) {
    if (side >= 0) read_.refuse("post_processor puts two tokens on one side of a text, which is not supported");
    side = id_of(name);
    if (side < 0) read_.refuse(fmt::format("post_processor uses \"{}\", which is no token", printable(name)));
  }

  const Reader& read_;
  std::unordered_map<std::string, i64> ids_;
  i64 before_ = -1, behind_ = -1;
};

// The few members of tokenizer_config.json that matter here; the file also lists every added token again.
Json read_config(const std::string& where, std::string_view text) {
  if (text.empty()) return Json::object();
  const auto wanted = [](int depth, Json::parse_event_t event, Json& parsed) {
    if (event != Json::parse_event_t::key || depth != 1) return true;
    return parsed == "bos_token" || parsed == "eos_token" || parsed == "add_bos_token" || parsed == "add_eos_token";
  };
  return parse_json(where, text, {.bytes = 1 << 25, .depth = 32, .values = 1 << 20}, wanted);
}

}  // namespace

void translate_tokenizer(const std::string& where, std::string_view tokenizer, std::string_view config,
                         Metadata& metadata) {
  const Reader read{where};
  TokenizerJson tables = read_tokenizer_json(where, tokenizer);
  const Json& root = tables.rest;
  Translation translation{read, root, tables, metadata};
  translation.kind = read.text(root["model"], "type", tables.merges.empty() ? "" : "BPE");
  if (translation.kind != "BPE" && translation.kind != "WordPiece" && translation.kind != "Unigram")
    read.refuse(fmt::format("model.type is \"{}\", expected BPE, WordPiece or Unigram", printable(translation.kind)));

  for (const Json* step : steps_of(read, root, "normalizer", "normalizers")) translation.normalizer(*step);
  const std::vector<const Json*> steps = steps_of(read, root, "pre_tokenizer", "pretokenizers");
  for (const Json* step : steps) translation.pre_tokenizer(*step, step == steps.front());
  translation.vocabulary();
  translation.model();
  Surroundings(read, root, read_config(where + " (its tokenizer_config.json)", config), metadata);
}

void read_huggingface_tokenizer(const std::string& folder, Metadata& metadata) {
  const MappedFile tokenizer(folder + "/tokenizer.json");
  const std::string path = folder + "/tokenizer_config.json";
  std::error_code ignored;
  std::optional<MappedFile> config;
  if (std::filesystem::exists(path, ignored)) config.emplace(path);
  translate_tokenizer(tokenizer.path(), text_of(tokenizer), config ? text_of(*config) : "", metadata);
}

}  // namespace bitkerf
