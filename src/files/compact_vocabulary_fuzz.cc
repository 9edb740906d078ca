// Any bytes are refused with Fault::file or expanded: as a container of metadata, or as tables made of the bytes. What was
// expanded comes back the same from compacting.
#include <functional>

#include "core/error.h"
#include "files/compact_vocabulary.h"
#include "files/gguf.h"

namespace {

using namespace bitkerf;

// Tables as a damaged file may hold them: nearly right ones, so that the checks behind the first are reached too.
Metadata tables(std::span<const std::uint8_t> bytes) {
  const std::function<std::uint32_t()> next = [&] {
    if (bytes.empty()) return 0u;
    std::uint32_t value = bytes.front();
    bytes = bytes.subspan(1);
    return value == 255 ? 0x7fffffffu + next() : value;
  };
  Metadata metadata("fuzz");
  const std::uint32_t first = next() % 32, merges = next() % 64, wrong = next();
  std::vector<std::string> texts;
  for (std::uint32_t i = 0; i < first; i++) texts.push_back(std::string(next() % 64, static_cast<char>(next())));
  std::vector<std::uint32_t> left, right, runs;
  for (std::uint32_t i = 0; i < merges; i++) left.push_back(next()), right.push_back(next());
  if (wrong & 1) right.push_back(next());
  std::uint32_t rest = first + merges;
  if (wrong & 2) rest += next() % 8;
  while (rest > 0) {
    std::uint32_t count = std::min(rest, 1 + next());
    runs.push_back(next()), runs.push_back(count);
    rest -= count;
  }
  metadata.set("bitkerf.vocabulary.first", first + (wrong & 4 ? next() : 0));
  if (!(wrong & 8)) metadata.set("bitkerf.vocabulary.texts", MetadataArray(texts));
  metadata.set("bitkerf.vocabulary.left", MetadataArray(left));
  if (wrong & 16) metadata.set("bitkerf.vocabulary.right", MetadataArray(std::vector<std::uint16_t>(right.begin(), right.end())));
  else metadata.set("bitkerf.vocabulary.right", MetadataArray(right));
  metadata.set("bitkerf.vocabulary.types", MetadataArray(runs));
  if (wrong & 32) metadata.set("tokenizer.ggml.merges", MetadataArray(texts));
  return metadata;
}

void expand(Metadata metadata) {
  const bool compact = metadata.has("bitkerf.vocabulary.first");
  expand_vocabulary(metadata);
  if (!compact) return;
  CHECK(!metadata.has("bitkerf.vocabulary.left"));
  const std::vector<std::string> tokens = *metadata.texts("tokenizer.ggml.tokens"), merges = *metadata.texts("tokenizer.ggml.merges");
  CHECK(merges.size() <= tokens.size());
  const std::optional<std::vector<i64>> types = metadata.integers("tokenizer.ggml.token_type");
  CHECK(types->size() == tokens.size());
  compact_vocabulary(metadata);  // texts that are there twice cannot be told apart, so it may leave the tables
  expand_vocabulary(metadata);
  CHECK(*metadata.texts("tokenizer.ggml.tokens") == tokens);
  CHECK(*metadata.texts("tokenizer.ggml.merges") == merges);
  CHECK(metadata.integers("tokenizer.ggml.token_type") == types);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    if (size >= 4 && data[0] == 'G') expand(parse_gguf("fuzz", {reinterpret_cast<const std::byte*>(data), size}).metadata);
    else expand(tables({data, size}));
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::file);
  }
  return 0;
}
