#include "compress/plan/candidates.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "compress/content_key.h"
#include "compress/quantize_model.h"
#include "models/tiny_models.h"

namespace bitkerf {
namespace {

std::string temporary(const std::string& name) { return testing::TempDir() + "bitkerf_candidates_" + name; }

// The file that a plan makes has the size that was predicted: nothing of header, tokenizer and padding is forgotten, and only
// the padding behind the header is not known before.
TEST(Candidates, SizeOfTheFileIsKnownBefore) {
  Threads threads(2);
  for (const TinyModel& tiny : {TinyModel{"llama3", 0}, TinyModel{"gemma3", 0}, TinyModel{"phi3", 0}}) {
    SCOPED_TRACE(tiny.name);
    auto file = open_model_file(tiny_model_path(tiny));
    ModelMatrices matrices(*file, threads);
    CandidateOptions options;
    options.recipes = {"rtn/int2.g32", "rtn/int4.g64 | bit_planes", "rtn/int8.row"};
    PlanProblem problem = make_candidates(*file, matrices, options, threads);
    std::vector<Plan> curve = plan_curve(problem, 4);
    ASSERT_GE(curve.size(), 3u);
    for (const Plan& plan : curve) {
      std::string out = temporary("size.gguf");
      quantize_model(*file, RecipeBook(plan_text(problem, plan, {})), out, threads, {});
      i64 bytes = static_cast<i64>(std::filesystem::file_size(out));
      EXPECT_LE(bytes, plan.bytes);
      EXPECT_GT(bytes, plan.bytes - 128);
      std::filesystem::remove(out);
    }
  }
}

TEST(Candidates, ErrorsAreKeptAndDamagedOnesMadeAgain) {
  Threads threads(1);
  auto file = open_model_file(tiny_model_path({"llama3", 0}));
  ModelMatrices matrices(*file, threads);
  CandidateOptions options;
  options.recipes = {"rtn/int2.g32", "rtn/int4.g64"};
  options.cache = temporary("errors");
  options.key = "key";
  std::filesystem::remove(options.cache);
  auto harms = [&] {
    std::vector<double> all;
    for (const PlanLayer& layer : make_candidates(*file, matrices, options, threads).layers)
      for (const Candidate& c : layer.candidates) all.push_back(c.harm);
    return all;
  };
  std::vector<double> first = harms();
  EXPECT_EQ(harms(), first);
  // As after an interruption in the middle of a line.
  std::filesystem::resize_file(options.cache, std::filesystem::file_size(options.cache) / 2);
  EXPECT_EQ(harms(), first);
  // What is kept is used: a changed figure comes back.
  std::string text;
  {
    std::ifstream in(options.cache);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  std::size_t at = text.rfind('\t') + 1;
  text.replace(at, text.find(' ', at) - at, "123.5");
  std::ofstream(options.cache) << text;
  std::vector<double> changed = harms();
  EXPECT_NE(std::find(changed.begin(), changed.end(), 123.5), changed.end());
  // Another key: nothing is believed.
  options.key = "other";
  EXPECT_EQ(harms(), first);
  std::filesystem::remove(options.cache);
}

TEST(ContentKey, DependsOnEveryByteAndOnWhereTextsEnd) {
  EXPECT_EQ(ContentKey().add("ab").add("c").text(), ContentKey().add("ab").add("c").text());
  EXPECT_NE(ContentKey().add("ab").add("c").text(), ContentKey().add("a").add("bc").text());
  EXPECT_NE(ContentKey().add("").text(), ContentKey().text());
  std::string text(100, 'x');
  std::string key = ContentKey().add(text).text();
  for (char& c : text) {
    c = 'y';
    EXPECT_NE(ContentKey().add(text).text(), key);
    c = 'x';
  }
}

}  // namespace
}  // namespace bitkerf
