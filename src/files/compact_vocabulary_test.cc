#include "files/compact_vocabulary.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace bitkerf {
namespace {

using Texts = std::vector<std::string>;

Metadata tables() {
  Metadata m("file");
  m.set("tokenizer.ggml.tokens", MetadataArray(Texts{"<s>", "a", "b", "c", "ab", "abc", "cab"}));
  m.set("tokenizer.ggml.merges", MetadataArray(Texts{"a b", "ab c", "c ab"}));
  m.set("tokenizer.ggml.token_type", MetadataArray(std::vector<std::int32_t>{3, 1, 1, 1, 1, 1, 1}));
  m.set("tokenizer.ggml.model", std::string("gpt2"));
  return m;
}

TEST(CompactVocabulary, ComesBack) {
  Metadata m = tables();
  compact_vocabulary(m);
  EXPECT_FALSE(m.has("tokenizer.ggml.merges"));
  ASSERT_TRUE(m.has("bitkerf.vocabulary.left"));
  expand_vocabulary(m);
  EXPECT_EQ(m.values(), tables().values());
}

TEST(CompactVocabulary, OtherTablesStayAsTheyAre) {
  auto stays = [](auto&& change) {
    Metadata m = tables();
    change(m);
    Metadata before = m;
    compact_vocabulary(m);
    EXPECT_EQ(m.values(), before.values());
  };
  stays([](Metadata& m) { m.erase("tokenizer.ggml.merges"); });
  stays([](Metadata& m) { m.set("tokenizer.ggml.merges", MetadataArray(Texts{"a b", "ab c", "a b"})); });      // makes another token
  stays([](Metadata& m) { m.set("tokenizer.ggml.merges", MetadataArray(Texts{"a b", "a bc", "c ab"})); });     // of no token
  stays([](Metadata& m) { m.set("tokenizer.ggml.merges", MetadataArray(Texts{"a b", "ab c", "c a b"})); });
  stays([](Metadata& m) { m.set("tokenizer.ggml.merges", MetadataArray(Texts{"a b"})); });                     // of the last token
  stays([](Metadata& m) { m.set("tokenizer.ggml.token_type", MetadataArray(std::vector<std::int32_t>{1})); });
}

TEST(CompactVocabulary, DamagedOnesAreRefused) {
  auto refused = [](auto&& change) {
    Metadata m = tables();
    compact_vocabulary(m);
    change(m);
    try {
      expand_vocabulary(m);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::file);
    }
  };
  refused([](Metadata& m) { m.set("bitkerf.vocabulary.left", MetadataArray(std::vector<std::uint16_t>{1, 4, 6})); });  // itself
  refused([](Metadata& m) { m.set("bitkerf.vocabulary.left", MetadataArray(std::vector<std::uint16_t>{1, 4})); });
  refused([](Metadata& m) { m.set("bitkerf.vocabulary.right", MetadataArray(std::vector<std::int32_t>{1, -1, 4})); });
  refused([](Metadata& m) { m.set("bitkerf.vocabulary.first", std::uint32_t{5}); });
  refused([](Metadata& m) { m.set("bitkerf.vocabulary.types", MetadataArray(std::vector<std::uint32_t>{1, 8})); });
  refused([](Metadata& m) { m.set("bitkerf.vocabulary.types", MetadataArray(std::vector<std::uint32_t>{1, 6})); });
  refused([](Metadata& m) { m.set("bitkerf.vocabulary.types", MetadataArray(std::vector<std::uint32_t>{1, 4000000000u, 1})); });
  refused([](Metadata& m) { m.set("tokenizer.ggml.merges", MetadataArray(Texts{"a b"})); });
}

}  // namespace
}  // namespace bitkerf
