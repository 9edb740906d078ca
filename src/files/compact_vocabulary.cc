#include "files/compact_vocabulary.h"

#include <unordered_map>

#include "core/error.h"

namespace bitkerf {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kFirst = "bitkerf.vocabulary.first";
constexpr const char* kTexts = "bitkerf.vocabulary.texts";
constexpr const char* kLeft = "bitkerf.vocabulary.left";
constexpr const char* kRight = "bitkerf.vocabulary.right";
constexpr const char* kRuns = "bitkerf.vocabulary.types";
constexpr i64 kMostTokens = i64{1} << 24;
constexpr std::size_t kLongestToken = 4096;
constexpr std::size_t kMostBytes = std::size_t{1} << 28;  // of all texts

MetadataArray ids(const std::vector<std::uint32_t>& values, std::size_t vocabulary) {
  if (vocabulary <= 65536) return std::vector<std::uint16_t>(values.begin(), values.end());
  return values;
}

}  // namespace

void compact_vocabulary(Metadata& metadata) {
  const auto* tokens = metadata.texts(kTokens);
  const auto* merges = metadata.texts(kMerges);
  const MetadataValue* types = metadata.find(kTypes);
  const auto* type_array = types ? std::get_if<MetadataArray>(types) : nullptr;
  const auto* type_list = type_array ? std::get_if<std::vector<std::int32_t>>(type_array) : nullptr;
  if (!tokens || !merges || merges->size() >= tokens->size() || !type_list || type_list->size() != tokens->size()) return;
  const std::size_t first = tokens->size() - merges->size();
  std::unordered_map<std::string_view, std::uint32_t> token_of;
  for (std::size_t i = 0; i < tokens->size(); i++) token_of.emplace((*tokens)[i], static_cast<std::uint32_t>(i));
  std::vector<std::uint32_t> left, right;
  for (std::size_t i = 0; i < merges->size(); i++) {
    const std::string_view merge = (*merges)[i];
    const std::size_t space = merge.find(' ');
    if (space == merge.npos || merge.find(' ', space + 1) != merge.npos) return;
    auto l = token_of.find(merge.substr(0, space)), r = token_of.find(merge.substr(space + 1));
    if (l == token_of.end() || r == token_of.end() || l->second >= first + i || r->second >= first + i) return;
    const std::string& made = (*tokens)[first + i];
    if (made.size() + 1 != merge.size() || made.compare(0, space, merge, 0, space) != 0 || made.compare(space, made.npos, merge, space + 1) != 0) return;
    left.push_back(l->second), right.push_back(r->second);
  }
  std::vector<std::uint32_t> runs;
  for (std::int32_t type : *type_list) {
    if (type < 0) return;
    if (runs.empty() || runs[runs.size() - 2] != static_cast<std::uint32_t>(type)) runs.push_back(static_cast<std::uint32_t>(type)), runs.push_back(0);
    runs.back()++;
  }
  std::vector<std::string> texts(tokens->begin(), tokens->begin() + static_cast<std::ptrdiff_t>(first));
  const std::size_t count = tokens->size();
  for (const char* key : {kTokens, kMerges, kTypes}) metadata.erase(key);
  metadata.set(kFirst, static_cast<std::uint32_t>(first));
  metadata.set(kTexts, MetadataArray(std::move(texts)));
  metadata.set(kLeft, ids(left, count));
  metadata.set(kRight, ids(right, count));
  metadata.set(kRuns, MetadataArray(std::move(runs)));
}

void expand_vocabulary(Metadata& metadata) {
  if (!metadata.has(kFirst)) return;
  const auto refuse = [&](const char* key, std::string_view what) { fail(Fault::file, "{}: {}: {}", metadata.where(), key, what); };
  for (const char* key : {kTokens, kMerges, kTypes})
    if (metadata.has(key)) refuse(key, "is there twice, once as bitkerf.vocabulary.*");
  const i64 first = metadata.integer(kFirst, 0, kMostTokens);
  const auto* texts = metadata.texts(kTexts);
  if (!texts || static_cast<i64>(texts->size()) != first) refuse(kTexts, "expected as many texts as bitkerf.vocabulary.first says");
  const std::vector<i64> left = metadata.integers(kLeft).value_or(std::vector<i64>{}), right = metadata.integers(kRight).value_or(std::vector<i64>{});
  const std::vector<i64> runs = metadata.integers(kRuns).value_or(std::vector<i64>{});
  if (left.size() != right.size() || static_cast<i64>(left.size()) > kMostTokens) refuse(kLeft, "expected as many numbers as bitkerf.vocabulary.right has");
  std::vector<std::string> tokens(texts->begin(), texts->end()), merges;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < left.size(); i++) {
    const i64 known = static_cast<i64>(tokens.size());
    if (left[i] < 0 || left[i] >= known || right[i] < 0 || right[i] >= known) refuse(kLeft, "a merge of a token that is not there yet");
    const std::string &l = tokens[static_cast<std::size_t>(left[i])], &r = tokens[static_cast<std::size_t>(right[i])];
    bytes += 2 * (l.size() + r.size());
    if (l.size() + r.size() > kLongestToken || bytes > kMostBytes) refuse(kLeft, "a token of more than 4096 bytes, or too many bytes of texts");
    merges.push_back(l + " " + r);
    tokens.push_back(l + r);
  }
  std::vector<std::int32_t> types;
  if (runs.size() % 2 != 0) refuse(kRuns, "expected pairs of type and count");
  for (std::size_t i = 0; i < runs.size(); i += 2) {
    if (runs[i] < 0 || runs[i] > 255 || runs[i + 1] < 1 || runs[i + 1] > static_cast<i64>(tokens.size() - types.size())) refuse(kRuns, "more types than tokens");
    types.insert(types.end(), static_cast<std::size_t>(runs[i + 1]), static_cast<std::int32_t>(runs[i]));
  }
  if (types.size() != tokens.size()) refuse(kRuns, "fewer types than tokens");
  for (const char* key : {kFirst, kTexts, kLeft, kRight, kRuns}) metadata.erase(key);
  metadata.set(kTokens, MetadataArray(std::move(tokens)));
  metadata.set(kMerges, MetadataArray(std::move(merges)));
  metadata.set(kTypes, MetadataArray(std::move(types)));
}

}  // namespace bitkerf
