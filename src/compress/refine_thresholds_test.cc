#include "compress/refine_thresholds.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "compress/allocate.h"
#include "compress/quantize_model.h"
#include "core/error.h"
#include "files/gguf.h"
#include "forms/product_study/refine.h"
#include "models/list.h"
#include "models/tiny_models.h"

namespace bitkerf {
namespace {

std::vector<Token> window_of(std::uint32_t seed) {
  std::vector<Token> window;
  for (int i = 0; i < 60; i++) window.push_back(static_cast<Token>((seed = seed * 1664525 + 1013904223) >> 8) % 90);
  return window;
}

// Products of these windows under a refinement.
void run(const ModelFile& file, std::span<const std::vector<Token>> windows, const std::shared_ptr<Refinement>& refinement, Threads& threads) {
  ModelOptions options;
  options.refinement = refinement;
  std::unique_ptr<Model> model = load_model(file, options, threads);
  Arena arena(model->scratch(60, 60));
  Context context{threads, arena, chosen_isa()};
  OwnedMatrix<float> hidden(1, model->shape().width);
  for (const std::vector<Token>& window : windows) {
    std::unique_ptr<SequenceState> sequence = model->new_sequence(60);
    SequenceState* state = sequence.get();
    Run step{0, 60, 0};
    const i64 last = 59;
    model->forward(window, {.runs = {&step, 1}, .tokens = 60}, {&state, 1}, {&last, 1}, hidden.view(), context);
  }
}

TEST(RefineThresholds, RefineTheShareThatIsAskedFor) {
  char name[] = "/tmp/bitkerf_refine_test_XXXXXX";
  const std::string folder = mkdtemp(name), path = folder + "/model.gguf";
  Threads threads(1);
  std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path({"llama3", 0}));
  quantize_model(*source, RecipeBook("blk.*=rtn/int8.f32.g32 | int_dot | int8.g32; blk.0.ffn_down=rtn/int8.f32.row | int_dot | int4.row"), path, threads, {});
  std::unique_ptr<ModelFile> file = open_model_file(path);
  const std::vector<std::vector<Token>> windows = {window_of(1), window_of(2)};
  Statistics statistics;
  // A matrix whose outputs count for much, and one whose outputs count for nothing.
  statistics.gradient["blk.1.attn_v"] = {1e6f, 1e6f};
  statistics.gradient["blk.1.attn_q"] = {0.0f};
  const std::string text = choose_thresholds(*file, windows, statistics, 0.25, threads, {});
  auto refinement = std::make_shared<Refinement>(text);
  run(*file, windows, refinement, threads);
  EXPECT_NEAR(refinement->executed(), 0.625, 0.02) << text;
  for (const RefinedMatrix& m : refinement->matrices()) {
    EXPECT_NE(m.name, "blk.0.ffn_down");  // of 4 bits already
    if (m.name == "blk.1.attn_v") {
      EXPECT_GT(m.refined, m.blocks * 9 / 10);
    }
    if (m.name == "blk.1.attn_q") {
      EXPECT_EQ(m.refined, 0);
    }
  }
  EXPECT_THROW(choose_thresholds(*file, windows, statistics, 0.25, threads, [](i64, i64) { return false; }), Error);
  quantize_model(*source, RecipeBook("*=rtn/int8.f32.g32 | int_dot | int4.g32"), path, threads, {});
  EXPECT_THROW(choose_thresholds(*open_model_file(path), windows, statistics, 0.25, threads, {}), Error);  // nothing to refine
  std::filesystem::remove_all(folder);
}

TEST(AllocateInputs, ProfileTimesBothEncodings) {
  Threads threads(1);
  std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path({"llama3", 0}));
  const std::vector<std::vector<Token>> windows = {window_of(3)};
  Allocation allocation;
  allocation.low = "rtn/int8.f32.g32 | int_dot | int4.row", allocation.high = "rtn/int8.f32.g32 | int_dot | int8.row";
  allocation.profile_tokens = 16;
  auto plan = [&](double share) {
    allocation.share = share;
    return allocate_inputs(*source, windows, Statistics(), allocation, threads, {});
  };
  const std::string all = plan(1);
  EXPECT_NE(all.find("ms with int4.row"), all.npos) << all;
  for (const char* kind : {"attn_q", "ffn_down"}) EXPECT_NE(all.find(fmt::format("# {:12} 100.0 %", kind)), all.npos) << all;
  allocation.profile_tokens = 0;  // by products: none is free
  EXPECT_NE(plan(0).find("# ffn_down       0.0 %"), all.npos);
}

}  // namespace
}  // namespace bitkerf
