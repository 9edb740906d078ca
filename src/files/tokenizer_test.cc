#include "files/tokenizer.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include <gtest/gtest.h>

#include "core/error.h"
#include "files/gguf.h"
#include "files/tokenizers/vocabulary.h"

namespace bitkerf {
namespace {

using Tokens = std::vector<Token>;

std::string peers() {
  const char* home = std::getenv("HOME");
  return std::string(home ? home : "") + "/.cache/peers";
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// ./check --all sets BITKERF_SWEEP=full.
bool is_slow_run() {
  const char* sweep = std::getenv("BITKERF_SWEEP");
  return std::getenv("BITKERF_SLOW") != nullptr || (sweep && std::string_view(sweep) == "full");
}

// A vocabulary of all bytes in GPT-2's stand-ins, some merges, a control and a user-defined token.
Metadata byte_level_metadata(std::string_view pre = "gpt-2") {
  Metadata metadata("test");
  std::vector<std::string> tokens, merges{"t h", "th e", "Ġ the", "Ġ a", "a a", "aa aa", "h e", "Ċ Ċ"};
  for (int byte = 0; byte < 256; byte++) {
    const int code = stand_in_of_byte(static_cast<std::uint8_t>(byte));
    std::string text;
    if (code < 0x80) text = static_cast<char>(code);
    else text = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
    tokens.push_back(text);
  }
  for (const std::string& merge : merges) {
    std::string text = merge;
    text.erase(text.find(' ', 1), 1);
    tokens.push_back(text);
  }
  std::vector<std::int32_t> types(tokens.size(), 1);
  for (const auto& [text, type] : {std::pair{"<|end|>", 3}, {"<|start|>", 3}, {"\n\n\n\n", 4}, {"<tag>", 4}}) {
    tokens.push_back(text);
    types.push_back(type);
  }
  metadata.set("tokenizer.ggml.model", std::string("gpt2"));
  metadata.set("tokenizer.ggml.pre", std::string(pre));
  metadata.set("tokenizer.ggml.tokens", MetadataArray(tokens));
  metadata.set("tokenizer.ggml.merges", MetadataArray(merges));
  metadata.set("tokenizer.ggml.token_type", MetadataArray(types));
  metadata.set("tokenizer.ggml.bos_token_id", std::uint32_t{265});
  metadata.set("tokenizer.ggml.eos_token_id", std::uint32_t{264});
  return metadata;
}

// Pieces of SentencePiece's kind: unknown, begin, end, all bytes, then the given ones with falling scores.
Metadata sentence_piece_metadata(const std::vector<std::string>& pieces) {
  Metadata metadata("test");
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
  std::vector<float> scores{0, 0, 0};
  std::vector<std::int32_t> types{2, 3, 3};
  for (int byte = 0; byte < 256; byte++) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    scores.push_back(0);
    types.push_back(6);
  }
  for (std::size_t i = 0; i < pieces.size(); i++) {
    tokens.push_back(pieces[i]);
    scores.push_back(-static_cast<float>(i));
    types.push_back(1);
  }
  metadata.set("tokenizer.ggml.model", std::string("llama"));
  metadata.set("tokenizer.ggml.tokens", MetadataArray(tokens));
  metadata.set("tokenizer.ggml.scores", MetadataArray(scores));
  metadata.set("tokenizer.ggml.token_type", MetadataArray(types));
  metadata.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  metadata.set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  metadata.set("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
  return metadata;
}

Tokens text_tokens(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.encode(text, Specials::as_text);
}

// Bytes of every kind: ASCII, valid characters of all lengths, and bytes that are not UTF-8.
std::string random_text(std::mt19937& random) {
  std::string text;
  for (int i = static_cast<int>(random() % 40); i > 0; i--) {
    switch (random() % 6) {
      case 0: text += static_cast<char>(random() % 256); break;
      case 1: text += ' '; break;
      case 2: text += "\xF0\x9F\x98" + std::string(1, static_cast<char>(0x80 + random() % 64)); break;
      case 3: text += "\xE4" + std::string(1, static_cast<char>(0x80 + random() % 64)) + "\x81"; break;
      case 4: text += static_cast<char>('a' + random() % 26); break;
      default: text += "\n\t'1A.aeth<|"[random() % 12];
    }
  }
  return text;
}

void expect_refused(const Metadata& metadata, std::string_view part) {
  try {
    make_tokenizer(metadata);
    ADD_FAILURE() << "accepted; expected an error with " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::file);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
  }
}

TEST(Tokenizer, MergesInOrderOfRankLeftmostFirst) {
  const auto tokenizer = make_tokenizer(byte_level_metadata());
  EXPECT_EQ(text_tokens(*tokenizer, "the"), (Tokens{257}));             // "th" is before "he"
  EXPECT_EQ(text_tokens(*tokenizer, " the the"), (Tokens{258, 258}));
  EXPECT_EQ(text_tokens(*tokenizer, "aaa"), (Tokens{260, 'a'}));         // the left pair of an overlap
  EXPECT_EQ(text_tokens(*tokenizer, "aaaaaaa"), (Tokens{261, 260, 'a'}));
  EXPECT_EQ(text_tokens(*tokenizer, ""), Tokens());
}

TEST(Tokenizer, LongAndShortMergesAgree) {
  // The same word alone (scan) and many times without a space between (heap).
  const auto tokenizer = make_tokenizer(byte_level_metadata());
  Tokens expected;
  std::string text;
  for (int i = 0; i < 50; i++) {
    text += "xthethhe";
    for (Token token : text_tokens(*tokenizer, "xthethhe")) expected.push_back(token);
  }
  EXPECT_EQ(text_tokens(*tokenizer, text), expected);
}

TEST(Tokenizer, ControlTokensComeOnlyFromWhereTheyAreAllowed) {
  const auto tokenizer = make_tokenizer(byte_level_metadata());
  EXPECT_EQ(tokenizer->encode("a<|end|>", Specials::as_tokens), (Tokens{'a', 264}));
  const Tokens plain = text_tokens(*tokenizer, "a<|end|>");
  for (Token token : plain) EXPECT_FALSE(tokenizer->is_control(token));
  EXPECT_EQ(tokenizer->decode(plain), "a<|end|>");
  // User-defined tokens are text and always found; the longest first.
  EXPECT_EQ(text_tokens(*tokenizer, "\n\n\n\n\n\n<tag>"), (Tokens{266, 263, 267}));
  EXPECT_EQ(tokenizer->piece(264), "");
  EXPECT_EQ(tokenizer->piece(264, true), "<|end|>");
  EXPECT_TRUE(tokenizer->ends_generation(264));
  EXPECT_FALSE(tokenizer->ends_generation(265));
}

TEST(Tokenizer, ByteLevelRoundTripsAllBytes) {
  const auto tokenizer = make_tokenizer(byte_level_metadata());
  std::mt19937 random(1);
  for (int i = is_slow_run() ? 1'000'000 : 20'000; i > 0; i--) {
    const std::string text = random_text(random);
    const Tokens tokens = text_tokens(*tokenizer, text);
    ASSERT_EQ(tokenizer->decode(tokens), text);
  }
}

TEST(Tokenizer, SentencePieceMergesByScoreAndFallsBackToBytes) {
  const auto tokenizer = make_tokenizer(sentence_piece_metadata({"ab", "bc", "a", "b", "c", "▁", "▁a"}));
  const Token ab = 259, bc = 260, a = 261, c = 263, space_a = 265;
  EXPECT_EQ(text_tokens(*tokenizer, "abc"), (Tokens{264, ab, c}));  // "ab" scores best, "▁a" worst
  EXPECT_EQ(text_tokens(*tokenizer, "abcbc"), (Tokens{264, ab, c, bc}));
  EXPECT_EQ(text_tokens(*tokenizer, "a a"), (Tokens{space_a, space_a}));
  EXPECT_EQ(text_tokens(*tokenizer, "aé"), (Tokens{space_a, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(tokenizer->encode_prompt("a", Specials::as_text), (Tokens{1, space_a}));
  EXPECT_EQ(tokenizer->decode(text_tokens(*tokenizer, "a aé\xFF")), "a aé\xFF");
  EXPECT_EQ(tokenizer->piece(space_a), " a");
  EXPECT_EQ(tokenizer->piece(a), "a");
  // What looks like a byte token or a control token in a text is text.
  EXPECT_EQ(tokenizer->decode(text_tokens(*tokenizer, "<s><0x41>")), "<s><0x41>");
  for (Token token : text_tokens(*tokenizer, "<s>")) EXPECT_FALSE(tokenizer->is_control(token));
}

TEST(Tokenizer, SentencePieceRoundTripsWhatHasNoMarker) {
  const auto tokenizer = make_tokenizer(sentence_piece_metadata({"▁", "a", "▁a", "t", "▁t", "h", "▁th", "e", "▁▁"}));
  std::mt19937 random(2);
  for (int i = is_slow_run() ? 1'000'000 : 20'000; i > 0; i--) {
    const std::string text = random_text(random);
    if (text.find("▁") != std::string::npos) continue;
    const Tokens tokens = text_tokens(*tokenizer, text);
    ASSERT_EQ(tokenizer->decode(tokens), text);
    for (Token token : tokens) ASSERT_FALSE(tokenizer->is_control(token));
  }
}

TEST(Tokenizer, AUserDefinedTokenMaySpellWhatANormalOneDoes) {
  // "Ã©" is the stand-ins of the two bytes of é, and é itself is user-defined, in either order.
  for (const bool first : {false, true}) {
    Metadata metadata = byte_level_metadata();
    std::vector<std::string> tokens = *metadata.texts("tokenizer.ggml.tokens");
    tokens[first ? 267 : 256] = "é";
    tokens[first ? 256 : 267] = "Ã©";
    std::vector<std::int32_t> types(tokens.size(), 1);
    types[264] = types[265] = 3;
    types[first ? 267 : 256] = 4;
    metadata.set("tokenizer.ggml.tokens", MetadataArray(tokens));
    metadata.set("tokenizer.ggml.token_type", MetadataArray(types));
    metadata.set("tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{"Ã ©", "Ċ Ċ"}));
    const auto tokenizer = make_tokenizer(metadata);
    EXPECT_EQ(text_tokens(*tokenizer, "é\n\n"), (Tokens{first ? 267 : 256, 263}));
    EXPECT_EQ(tokenizer->decode(Tokens{256, 267}), "éé");
  }
}

TEST(Tokenizer, StreamsWholeCharactersOnly) {
  const auto tokenizer = make_tokenizer(sentence_piece_metadata({"▁", "é", "a"}));
  StreamDecoder stream(*tokenizer);
  EXPECT_EQ(stream.add(259), " ");  // continues a text
  EXPECT_EQ(stream.add(3 + 0xF0), "");
  EXPECT_EQ(stream.add(3 + 0x9F), "");
  EXPECT_EQ(stream.add(3 + 0x98), "");
  EXPECT_EQ(stream.add(3 + 0x80), "😀");
  EXPECT_EQ(stream.add(3 + 0xE2), "");
  EXPECT_EQ(stream.add(261), "\uFFFDa");
  EXPECT_EQ(stream.add(3 + 0xFF), "\uFFFD");
  EXPECT_EQ(stream.add(3 + 0xE2), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
  StreamDecoder start(*tokenizer, true);
  EXPECT_EQ(start.add(1), "");  // a control token
  EXPECT_EQ(start.add(259), "");
  EXPECT_EQ(start.add(259), " ");
}

TEST(Tokenizer, RefusesDamagedTables) {
  const auto changed = [](std::string_view key, MetadataValue value) {
    Metadata metadata = byte_level_metadata();
    metadata.set(std::string(key), std::move(value));
    return metadata;
  };
  const auto tokens = [](auto&& change) {
    Metadata metadata = byte_level_metadata();
    std::vector<std::string> list = *metadata.texts("tokenizer.ggml.tokens");
    change(list);
    metadata.set("tokenizer.ggml.tokens", MetadataArray(list));
    return metadata;
  };
  expect_refused(Metadata("test"), "tokenizer.ggml.model");
  expect_refused(changed("tokenizer.ggml.model", std::string("rwkv")), "gpt2, llama");
  expect_refused(changed("tokenizer.ggml.pre", std::string("no\nsuch")), "known are default, gpt-2");
  expect_refused(changed("tokenizer.ggml.tokens", std::uint32_t{3}), "tokenizer.ggml.tokens");
  expect_refused(changed("tokenizer.ggml.tokens", MetadataArray(std::vector<std::string>{})), "has 0 entries");
  expect_refused(changed("tokenizer.ggml.token_type", MetadataArray(std::vector<std::int32_t>{1})), "has 1 entries");
  expect_refused(changed("tokenizer.ggml.token_type", MetadataArray(std::vector<std::int32_t>(268, 9))), "has 9 at 0");
  expect_refused(changed("tokenizer.ggml.scores", MetadataArray(std::vector<float>(5))), "has 5 entries");
  expect_refused(changed("tokenizer.ggml.scores", MetadataArray(std::vector<float>(268, NAN))), "scores");
  expect_refused(changed("tokenizer.ggml.bos_token_id", std::uint32_t{268}), "expected an id below 268");
  expect_refused(changed("tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{"ab"})), "two pieces");
  expect_refused(changed("tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{"z z"})), "that are tokens");
  expect_refused(changed("tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{""})), "two pieces");
  expect_refused(tokens([](auto& list) { list[3] = list[4]; }), "both");
  expect_refused(tokens([](auto& list) { list[264] = list[265]; }), "both");
  expect_refused(tokens([](auto& list) { list[3].assign(100'000, 'x'); }), "100000 bytes");
}

// The expectation files of llama.cpp's test-tokenizer-0.
class VocabularyFile : public testing::TestWithParam<std::string> {};

TEST_P(VocabularyFile, GivesTheExpectedIds) {
  const std::string path = peers() + "/llama.cpp/models/ggml-vocab-" + GetParam() + ".gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "needs " << path;
  const auto file = open_gguf(path);
  const auto tokenizer = make_tokenizer(file->metadata());
  const std::string input = read_file(path + ".inp");
  if (input.empty()) return;  // the file has no expectations: it only has to load
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::stringstream output(read_file(path + ".out"));
  std::string line;
  int tests = 0;
  for (std::size_t at = 0; at < input.size(); tests++) {
    const std::size_t end = std::min(input.find(kSeparator, at), input.size());
    const std::string text = input.substr(at, end - at);
    at = end + kSeparator.size();
    ASSERT_TRUE(std::getline(output, line));
    std::stringstream numbers(line);
    Tokens expected;
    for (Token token; numbers >> token;) expected.push_back(token);
    EXPECT_EQ(text_tokens(*tokenizer, text), expected) << "\"" << text << "\"";
  }
  EXPECT_GE(tests, 40);
  EXPECT_FALSE(std::getline(output, line));
}

INSTANTIATE_TEST_SUITE_P(Peers, VocabularyFile,
                         testing::Values("aquila", "baichuan", "bert-bge", "command-r", "deepseek-coder",
                                         "deepseek-llm", "falcon", "gemma-4", "gpt-2", "gpt-neox", "llama-bpe",
                                         "llama-spm", "mpt", "nomic-bert-moe", "phi-3", "qwen2", "qwen35", "refact",
                                         "starcoder"));

}  // namespace
}  // namespace bitkerf
