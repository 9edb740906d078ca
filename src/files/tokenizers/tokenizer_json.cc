#include "files/tokenizers/tokenizer_json.h"

#include "core/error.h"
#include "core/printable.h"
#include "files/json.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {
namespace {

using Json = nlohmann::json;
using Event = Json::parse_event_t;

constexpr i64 kMostBytes = i64{1} << 28;
constexpr i64 kMostValues = i64{1} << 26;   // of the tables, which are dropped as they are read
constexpr i64 kMostKept = i64{1} << 19;     // of the rest: thousands of added tokens of eight values each

// Takes model.vocab and model.merges out of the stream of values, so that they never become JSON values, of which
// each would need a hundred bytes.
class TableReader {
 public:
  TableReader(const std::string& where, TokenizerJson& result) : where_(where), result_(result) {}

  // A JsonFilter: false drops the value. Keys of the outermost object come at depth 1, so what is in model.vocab comes
  // at depth 3.
  bool operator()(int depth, Event event, Json& parsed) {
    if (event == Event::key && depth == 1) section_ = parsed.get_ref<const std::string&>();
    if (event == Event::key && depth == 2 && section_ == "model") member_ = parsed.get_ref<const std::string&>();
    const bool table = section_ == "model" && depth >= 3 && (member_ == "vocab" || member_ == "merges");
    if (!table) {
      if (++kept_ > kMostKept)
        fail(Fault::file, "{}: more than {} values of JSON beside the tables", where_, kMostKept);
      return true;
    }
    if (member_ == "vocab") {
      take_vocabulary(depth, event, parsed);
    } else {
      take_merge(depth, event, parsed);
    }
    return event == Event::array_start;  // what is in a dropped array would not be reported; it is dropped at its end
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail(Fault::file, "{}: model.{} {}", where_, member_, what);
  }

  void take_vocabulary(int depth, Event event, Json& parsed) {
    auto& entries = result_.vocabulary;
    if (static_cast<i64>(entries.size()) > kMostTokens) refuse("has too many entries");
    if (depth == 3 && event == Event::key) {
      text_ = parsed.get<std::string>();
    } else if (depth == 3 && event == Event::value) {  // "text": id
      if (!parsed.is_number_integer()) refuse("has a value that is not an integer, expected ids");
      const i64 id = parsed.get<i64>();
      if (id < 0 || id >= kMostTokens) refuse(fmt::format("has the id {}, expected 0 to {}", id, kMostTokens - 1));
      entries.push_back({std::move(text_), id, 0});
      text_.clear();
    } else if (depth == 3 && event == Event::array_start) {  // ["text", score]
      in_pair_ = 0;
      result_.has_scores = true;
    } else if (depth == 4 && event == Event::value && in_pair_ == 0 && parsed.is_string()) {
      text_ = parsed.get<std::string>();
      in_pair_ = 1;
    } else if (depth == 4 && event == Event::value && in_pair_ == 1 && parsed.is_number()) {
      entries.push_back({std::move(text_), static_cast<i64>(entries.size()), parsed.get<double>()});
      text_.clear();
      in_pair_ = 2;
    } else if (!(depth == 3 && event == Event::array_end && in_pair_ == 2)) {
      refuse("is neither a map from texts to ids nor a list of [text, score]");
    }
  }

  void take_merge(int depth, Event event, Json& parsed) {
    auto& merges = result_.merges;
    if (static_cast<i64>(merges.size()) > 8 * kMostTokens) refuse("has too many entries");
    if (depth == 3 && event == Event::value && parsed.is_string()) {
      merges.push_back(parsed.get<std::string>());
    } else if (depth == 3 && event == Event::array_start) {
      in_pair_ = 0;
    } else if (depth == 4 && event == Event::value && parsed.is_string() && in_pair_ < 2) {
      const std::string& part = parsed.get_ref<const std::string&>();
      // The table of merges separates at the first space that is not the first character.
      if (part.empty() || part.find(' ', in_pair_ == 0 ? 1 : part.size()) != std::string::npos ||
          (in_pair_ == 0 && part == " "))
        refuse(fmt::format("has the piece \"{}\", expected one without spaces", printable(part)));
      if (in_pair_ == 0) {
        merges.push_back(part);
      } else {
        merges.back() += ' ';
        merges.back() += part;
      }
      in_pair_++;
    } else if (!(depth == 3 && event == Event::array_end && in_pair_ == 2)) {
      refuse("is neither a list of \"left right\" nor of [left, right]");
    }
  }

  const std::string& where_;
  TokenizerJson& result_;
  std::string section_, member_, text_;
  int in_pair_ = 0;
  i64 kept_ = 0;
};

}  // namespace

TokenizerJson read_tokenizer_json(const std::string& where, std::string_view text) {
  TokenizerJson result;
  TableReader reader(where, result);
  result.rest = parse_json(where, text, {.bytes = kMostBytes, .depth = 32, .values = kMostValues},
                           [&](int depth, Event event, Json& parsed) { return reader(depth, event, parsed); });
  if (!result.rest.is_object() || !result.rest.contains("model") || !result.rest["model"].is_object())
    fail(Fault::file, "{}: no object \"model\", expected a tokenizer", where);
  if (result.vocabulary.empty()) fail(Fault::file, "{}: model.vocab is missing or empty", where);
  return result;
}

}  // namespace bitkerf
