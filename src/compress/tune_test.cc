#include "compress/tune.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "compress/quantize_model.h"
#include "core/error.h"
#include "files/packed_tensors.h"
#include "models/tiny_models.h"

namespace bitkerf {
namespace {

class TuneTest : public testing::Test {
 protected:
  TuneTest() {
    char name[] = "/tmp/bitkerf_tune_test_XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~TuneTest() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  static std::string bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  std::string folder_;
  Threads threads_{2};
};

TEST_F(TuneTest, LowersTheDivergenceAndCostsNoBytes) {
  for (const auto& [tiny, recipe] : {std::pair<TinyModel, const char*>{{"qwen3", 0}, "*=hadamard | rtn/int3.f16.g20; token_embd[:50]=rtn/int4.g20; token_embd[50:]=rtn/int3.u8.g20"}, {{"gemma3", 0}, "*=rtn/uint3.u8.g16"},
                                     {{"phi3", 0}, "blk.*=rtn/int3.row; blk.1.*=keep"}}) {
    SCOPED_TRACE(tiny.name);
    std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path(tiny));
    std::vector<std::vector<Token>> windows = read_tiny_golden(tiny).prompts;
    quantize_model(*source, RecipeBook(recipe), at("small"), threads_, {});
    std::unique_ptr<ModelFile> small = open_model_file(at("small"));
    std::vector<double> losses;
    windows.push_back(windows[0]);  // judged by what it learned
    TuneOptions options;
    options.steps = 30;
    options.judged = 1;
    options.progress = [&](i64, i64, double loss) { return losses.push_back(loss), true; };
    TuneReport report = tune_model(*source, *small, windows, at("tuned"), threads_, options);
    EXPECT_EQ(report.steps, 30);
    EXPECT_GT(report.gains, 0);
    EXPECT_GT(report.rows, 0);
    EXPECT_LT(losses.back(), 0.8 * losses.front());
    std::printf("  %-8s trained %.4f -> %.4f, judged %.4f -> %.4f\n", tiny.name, losses.front(), losses.back(), report.before, report.after);
    EXPECT_LT(report.after, 0.8 * report.before);
    EXPECT_TRUE(report.kept);
    EXPECT_EQ(bytes(at("tuned")).size(), bytes(at("small")).size());
  }
}

TEST_F(TuneTest, GoesOnWhereItStoppedWithTheSameBytes) {
  TinyModel tiny{"qwen3", 0};
  std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path(tiny));
  std::vector<std::vector<Token>> windows = read_tiny_golden(tiny).prompts;
  quantize_model(*source, RecipeBook("*=rtn/int3.g20"), at("small"), threads_, {});
  std::unique_ptr<ModelFile> small = open_model_file(at("small"));
  windows.push_back(windows[0]);
  TuneOptions options;
  options.steps = 6;
  options.judged = 1;
  EXPECT_TRUE(tune_model(*source, *small, windows, at("at_once"), threads_, options).kept);

  options.state = at("state");
  options.progress = [](i64 step, i64, double) { return step != 2; };
  TuneReport stopped = tune_model(*source, *small, windows, at("tuned"), threads_, options);
  EXPECT_EQ(stopped.steps, 2);
  EXPECT_FALSE(std::filesystem::exists(at("tuned")));
  i64 steps = 0;
  options.progress = [&](i64, i64, double) { return steps++, true; };
  Threads one(1);
  tune_model(*source, *small, windows, at("tuned"), one, options);
  EXPECT_EQ(steps, 4);
  EXPECT_EQ(bytes(at("tuned")), bytes(at("at_once")));
  EXPECT_FALSE(std::filesystem::exists(at("state")));
}

TEST_F(TuneTest, RefusesTooLittleText) {
  std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path({"qwen3", 0}));
  std::vector<std::vector<Token>> windows = read_tiny_golden({"qwen3", 0}).prompts;
  TuneOptions options;
  options.judged = 1;
  EXPECT_THROW(tune_model(*source, *source, std::span(windows).first(1), at("x"), threads_, options), Error);
  EXPECT_FALSE(std::filesystem::exists(at("x")));
}

}  // namespace
}  // namespace bitkerf
