#include "files/huggingface_tokenizer.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "core/error.h"
#include "files/tokenizer.h"

namespace bitkerf {
namespace {

using Tokens = std::vector<Token>;

// A folder with a tokenizer.json, removed at the end.
class Folder {
 public:
  explicit Folder(const std::string& tokenizer, const std::string& config = "") {
    path_ = testing::TempDir() + "tokenizer_" + std::to_string(getpid()) + "_" + std::to_string(count_++);
    std::filesystem::create_directories(path_);
    std::ofstream(path_ + "/tokenizer.json") << tokenizer;
    if (!config.empty()) std::ofstream(path_ + "/tokenizer_config.json") << config;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  static inline int count_ = 0;
  std::string path_;
};

std::unique_ptr<Tokenizer> read(const std::string& tokenizer, const std::string& config = "") {
  const Folder folder(tokenizer, config);
  Metadata metadata(folder.path());
  read_huggingface_tokenizer(folder.path(), metadata);
  return make_tokenizer(metadata);
}

void expect_refused(const std::string& tokenizer, std::string_view part) {
  try {
    read(tokenizer);
    ADD_FAILURE() << "accepted; expected an error with " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::file);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
  }
}

// Byte-level BPE with the letters a to d, the space and the digits 1 and 2.
std::string byte_level(const std::string& pre_tokenizer, const std::string& more = "", const std::string& model = "") {
  return R"({"added_tokens": [{"id": 10, "content": "<|end|>", "special": true},
                              {"id": 11, "content": "<x>", "special": false, "rstrip": true}],
             "pre_tokenizer": )" + pre_tokenizer + more + R"(,
             "model": {"type": "BPE", )" + model + R"("vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "Ġ": 4, "1": 5, "2": 6,
                       "ab": 7, "Ġab": 8, "12": 9}, "merges": ["a b", "Ġ ab", "1 2"]}})";
}
const char kByteLevel[] = R"({"type": "ByteLevel", "add_prefix_space": false})";

TEST(HuggingFaceTokenizer, ReadsByteLevelBpe) {
  const auto tokenizer = read(byte_level(kByteLevel), R"({"eos_token": {"content": "<|end|>"}, "bos_token": null})");
  EXPECT_EQ(tokenizer->size(), 12);
  EXPECT_EQ(tokenizer->encode("ab ab12", Specials::as_text), (Tokens{7, 8, 9}));
  EXPECT_EQ(tokenizer->encode("a<|end|><x> b", Specials::as_tokens), (Tokens{0, 10, 11, 1}));
  EXPECT_EQ(tokenizer->decode(Tokens{7, 8, 9}), "ab ab12");
  EXPECT_EQ(tokenizer->eos(), 10);
  EXPECT_EQ(tokenizer->bos(), -1);
  EXPECT_FALSE(tokenizer->adds_bos());
}

TEST(HuggingFaceTokenizer, ReadsPatternsInOrder) {
  const std::string digits =
      R"({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, )";
  EXPECT_EQ(read(byte_level(digits + kByteLevel + "]}"))->encode("12", Specials::as_text), (Tokens{5, 6}));
  const std::string split = R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "a"},
                               "behavior": "Isolated", "invert": false},
                               {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})";
  EXPECT_EQ(read(byte_level(split))->encode("ab 12", Specials::as_text), (Tokens{0, 1, 4, 9}));
}

TEST(HuggingFaceTokenizer, PutsAPrefixSpaceAndTheTokensOfTheTemplate) {
  const std::string processor = R"(, "post_processor": {"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]})";
  const auto tokenizer = read(byte_level(R"({"type": "ByteLevel", "add_prefix_space": true})", processor));
  EXPECT_EQ(tokenizer->encode_prompt("ab", Specials::as_text), (Tokens{10, 8}));
  EXPECT_EQ(tokenizer->decode(Tokens{10, 8}), "ab");
}

TEST(HuggingFaceTokenizer, NormalizesAndTakesWholeWords) {
  const std::string text =
      byte_level(kByteLevel, R"(, "normalizer": {"type": "Lowercase"})", R"("ignore_merges": true, )");
  EXPECT_EQ(read(text)->encode("AB", Specials::as_text), (Tokens{7}));
}

TEST(HuggingFaceTokenizer, ReadsCharacterBpeWithByteFallback) {
  std::string vocabulary = R"("<unk>": 0, "<s>": 1, "▁": 2, "a": 3, "b": 4, "▁a": 5, "ab": 6, "▁▁": 7)";
  for (int byte = 0; byte < 256; byte++) vocabulary += fmt::format(", \"<0x{:02X}>\": {}", byte, 8 + byte);
  const auto text = [&](const std::string& parts) {
    return R"({"added_tokens": [{"id": 0, "content": "<unk>", "special": true},
               {"id": 1, "content": "<s>", "special": true}, {"id": 7, "content": "▁▁", "special": false}], )" +
           parts + R"(, "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                          "vocab": {)" +
           vocabulary + R"(}, "merges": [["▁", "a"], ["a", "b"], ["▁", "▁"]]}})";
  };
  const auto gemma = read(text(R"("normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
      "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"})"));
  EXPECT_EQ(gemma->encode("ab a  é", Specials::as_text), (Tokens{6, 5, 7, 8 + 0xC3, 8 + 0xA9}));
  EXPECT_EQ(gemma->decode(gemma->encode("ab a  é", Specials::as_text)), "ab a  é");
  EXPECT_EQ(gemma->unknown(), 0);
  const auto llama = read(text(
      R"("pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false})"));
  EXPECT_EQ(llama->encode("a<s>a", Specials::as_tokens), (Tokens{5, 1, 3}));  // only at the start
  EXPECT_EQ(llama->encode(" a", Specials::as_text), (Tokens{5}));
}

TEST(HuggingFaceTokenizer, ReadsWordPiece) {
  const auto tokenizer = read(R"({"added_tokens": [{"id": 0, "content": "[UNK]", "special": true},
      {"id": 1, "content": "[CLS]", "special": true}, {"id": 2, "content": "[SEP]", "special": true}],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                   "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 9,
              "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "play": 3, "##ing": 4, "##s": 5, ".": 6, "cafe": 7}}})");
  EXPECT_EQ(tokenizer->encode_prompt("Playing plays.", Specials::as_text), (Tokens{1, 3, 4, 3, 5, 6, 2}));
  // A word of more than 9 characters is not cut.
  EXPECT_EQ(tokenizer->encode("CAFÉ playx playinging", Specials::as_text), (Tokens{7, 0, 0}));
  EXPECT_EQ(tokenizer->decode(Tokens{3, 4, 7}), "playing cafe");
}

TEST(HuggingFaceTokenizer, ReadsUnigram) {
  const auto tokenizer = read(R"({"added_tokens": [{"id": 0, "content": "<unk>", "special": true},
      {"id": 1, "content": "</s>", "special": true}],
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["</s>", 0], ["▁", -2.5], ["a", -3], ["b", -3],
              ["ab", -4], ["▁a", -3.5], ["▁ab", -9]]}})", R"({"eos_token": "</s>", "add_eos_token": true})");
  EXPECT_EQ(tokenizer->encode("ab", Specials::as_text), (Tokens{2, 5}));  // -2.5 - 4 equals -3.5 - 3: the first counts
  EXPECT_EQ(tokenizer->encode("a?b", Specials::as_text), (Tokens{6, 0, 4}));
  EXPECT_EQ(tokenizer->encode_prompt("a", Specials::as_text), (Tokens{6, 1}));
}

TEST(HuggingFaceTokenizer, RefusesWhatItDoesNotKnowByName) {
  expect_refused("{", "parse error");
  expect_refused("[]", "no object \"model\"");
  expect_refused(std::string(100, '['), "nested deeper");
  expect_refused(R"({"model": {"type": "WordLevel", "vocab": {"a": 0}}})", "WordLevel");
  expect_refused(R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})", "id -1");
  expect_refused(R"({"model": {"type": "BPE", "vocab": {"a": "x"}, "merges": []}})", "expected ids");
  expect_refused(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [3]}})", "left right");
  expect_refused(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})", "id 0 twice");
  expect_refused(R"({"model": {"type": "BPE", "vocab": {"a": 16000000}, "merges": []}})", "largest token id");
  expect_refused(byte_level(R"({"type": "UnicodeScripts"})"), "UnicodeScripts");
  expect_refused(byte_level(kByteLevel, R"(, "normalizer": {"type": "Nmt"})"), "Nmt");
  expect_refused(byte_level(kByteLevel, R"(, "post_processor": {"type": "Other"})"), "Other");
  expect_refused(byte_level(kByteLevel, "", R"("dropout": 0.1, )"), "dropout");
  expect_refused(byte_level(kByteLevel, "", R"("end_of_word_suffix": "</w>", )"), "end_of_word_suffix");
  expect_refused(byte_level(R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern":
                   {"Regex": "[a&&b]"}, "behavior": "Isolated"}, {"type": "ByteLevel", "add_prefix_space": false}]})"),
                 "&&");
  expect_refused(byte_level(R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern":
                   {"Regex": "(a"}, "behavior": "Isolated"}, {"type": "ByteLevel", "add_prefix_space": false}]})"),
                 "not valid");
}

TEST(HuggingFaceTokenizer, ReadsTheTokenizerOfMiniLm) {
  const char* home = std::getenv("HOME");
  const std::string folder = std::string(home ? home : "") + "/.cache/peers/models/all-MiniLM-L6-v2";
  if (!std::filesystem::exists(folder + "/tokenizer.json")) GTEST_SKIP() << "needs " << folder;
  Metadata metadata(folder);
  read_huggingface_tokenizer(folder, metadata);
  const auto tokenizer = make_tokenizer(metadata);
  EXPECT_EQ(tokenizer->encode_prompt("Hello, wörld! Unbelievable.", Specials::as_text),
            (Tokens{101, 7592, 1010, 2088, 999, 23653, 1012, 102}));  // as Hugging Face's own library
}

}  // namespace
}  // namespace bitkerf
