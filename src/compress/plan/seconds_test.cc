#include "compress/plan/seconds.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <random>

#include "compress/plan/stand_in.h"
#include "compress/quantize_model.h"
#include "files/packed_tensors.h"
#include "models/tiny_models.h"

namespace bitkerf {
namespace {

// Layers of different sizes with three recipes; predictions that miss each recipe by a factor of its own and know nothing of the
// rest of the model's time.
constexpr double kFactors[] = {1.3, 0.8, 2.0}, kRest = 3e-3;
PlanProblem problem() {
  PlanProblem p;
  for (int i = 0; i < 12; i++) {
    PlanLayer layer{"blk." + std::to_string(i) + ".attn_q", 1000, {}};
    for (int r = 0; r < 3; r++) {
      const double size = 1 + i % 4;
      layer.candidates.push_back({"recipe" + std::to_string(r), 100 * (r + 1), 1.0 / (r + 1), 1e-4 * size * (r + 2), 5e-4 * size * (4 - r)});
    }
    p.layers.push_back(layer);
  }
  p.layers[3].candidates.erase(p.layers[3].candidates.begin());  // not every recipe fits every layer
  return p;
}
// What a machine would measure, with `decode` or prefill.
double truth(const PlanProblem& untouched, const std::vector<int>& chosen, bool decode) {
  double seconds = kRest;
  for (std::size_t i = 0; i < chosen.size(); i++) {
    const Candidate& c = untouched.layers[i].candidates[static_cast<std::size_t>(chosen[i])];
    seconds += kFactors[c.recipe.back() - '0'] * (decode ? c.seconds_decode : c.seconds_prefill);
  }
  return seconds;
}
double predicted(const PlanProblem& p, const std::vector<int>& chosen) {
  double seconds = p.fixed_decode;
  for (std::size_t i = 0; i < chosen.size(); i++) seconds += p.layers[i].candidates[static_cast<std::size_t>(chosen[i])].seconds_decode;
  return seconds;
}

TEST(Seconds, UniformChoiceTakesTheNearestWhereARecipeDoesNotFit) {
  PlanProblem p = problem();
  ASSERT_EQ(candidate_recipes(p), (std::vector<std::string>{"recipe0", "recipe1", "recipe2"}));
  std::vector<int> chosen = uniform_choice(p, "recipe0");
  for (std::size_t i = 0; i < chosen.size(); i++) EXPECT_EQ(chosen[i], 0);
  EXPECT_EQ(p.layers[3].candidates[0].recipe, "recipe1");
  EXPECT_EQ(uniform_choice(p, "recipe2")[3], 1);
}

TEST(Seconds, AgreeWithMeasuredModels) {
  const PlanProblem before = problem();
  PlanProblem p = before;
  std::vector<MeasuredPlan> measured;
  for (const std::string& recipe : candidate_recipes(p)) {
    std::vector<int> chosen = uniform_choice(p, recipe);
    measured.push_back({chosen, truth(before, chosen, true), truth(before, chosen, false)});
  }
  fit_seconds(p, measured);
  for (const MeasuredPlan& plan : measured) EXPECT_NEAR(predicted(p, plan.chosen) / plan.seconds_decode, 1, 1e-3);
  // Mixtures follow, though the rest of the time is only guessed.
  std::mt19937 random(1);
  for (int trial = 0; trial < 50; trial++) {
    std::vector<int> chosen;
    for (const PlanLayer& layer : p.layers) chosen.push_back(static_cast<int>(random() % layer.candidates.size()));
    EXPECT_NEAR(predicted(p, chosen) / truth(before, chosen, true), 1, 0.05);
  }
  // One more measurement sets all to the machine as it is.
  std::vector<int> chosen = uniform_choice(p, "recipe1");
  const double harm = p.layers[0].candidates[0].harm;
  correct_seconds(p, {chosen, 0.1, 0});
  EXPECT_NEAR(predicted(p, chosen), 0.1, 1e-12);
  EXPECT_EQ(p.layers[0].candidates[0].harm, harm);
}

TEST(Seconds, NothingMeasuredChangesNothing) {
  PlanProblem p = problem();
  const double before = predicted(p, uniform_choice(p, "recipe1"));
  fit_seconds(p, {});
  fit_seconds(p, std::vector<MeasuredPlan>{{uniform_choice(p, "recipe1"), 0, 0}});
  correct_seconds(p, {uniform_choice(p, "recipe1"), 0, 0});
  EXPECT_EQ(predicted(p, uniform_choice(p, "recipe1")), before);
}

TEST(StandIn, HasTheLayoutOfTheQuantizedFile) {
  char name[] = "/tmp/bitkerf_stand_in_test_XXXXXX";
  const std::string folder = mkdtemp(name);
  Threads threads(2);
  for (const TinyModel& tiny : {TinyModel{"llama3", 0}, TinyModel{"phi3", 0}, TinyModel{"gemma3", 0}}) {
    std::unique_ptr<ModelFile> source = open_model_file(tiny_model_path(tiny));
    RecipeBook recipes("* = rtn/int4.g32 | int_dot; blk.0.ffn_down = keep; token_embd[0:32] = rtn/int6.u8.g32; token_embd[32:] = rtn/bipolar2.u8.g32");
    ModelMatrices matrices(*source, threads);
    write_stand_in(*source, matrices, recipes, folder + "/stand_in.gguf", threads);
    quantize_model(*source, recipes, folder + "/quantized.gguf", threads, {});
    std::unique_ptr<ModelFile> a = open_model_file(folder + "/stand_in.gguf"), b = open_model_file(folder + "/quantized.gguf");
    EXPECT_EQ(a->file_bytes(), b->file_bytes()) << tiny.name;
    auto entries = [](const ModelFile& file) {
      std::vector<std::string> texts;
      for (const PackedTensor& e : read_packed_tensors(file.metadata()))
        texts.push_back(fmt::format("{} {} {} {} {} {}x{} {} {} {} {}", e.tensor, e.matrix, e.form, e.format, e.input, e.shape.rows, e.shape.cols, e.first, e.total,
                                    e.recipe, file.find(e.tensor)->bytes));
      std::sort(texts.begin(), texts.end());
      return texts;
    };
    EXPECT_EQ(entries(*a), entries(*b)) << tiny.name;
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace bitkerf
