// Tiny models of Llama's kind in integers: the same logits on every instruction set and in any split of the work, near the same
// codes with float rescaling, and near the floats.
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "core/error.h"
#include "integer/integer_model.h"
#include "models/list.h"
#include "models/tiny_models.h"

namespace bitkerf {
namespace {

OwnedMatrix<float> logits_of(const Model& model, std::span<const Token> prompt, i64 step, Isa isa, Threads& threads) {
  const auto n = static_cast<i64>(prompt.size());
  Arena arena(std::max(model.scratch(n, n), model.head_scratch(n)));
  Context context{threads, arena, isa};
  std::unique_ptr<SequenceState> sequence = model.new_sequence(n);
  SequenceState* sequences[] = {sequence.get()};
  OwnedMatrix<float> hidden(n, model.shape().width), logits(n, model.shape().vocabulary);
  for (i64 first = 0; first < n; first += step) {
    const i64 count = std::min(step, n - first);
    Run run{0, count, first};
    std::vector<i64> wanted;
    for (i64 i = 0; i < count; i++) wanted.push_back(i);
    model.forward(prompt.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)), {{&run, 1}, count}, sequences, wanted,
                  hidden.view().sub_rows(first, count), context);
  }
  model.head(hidden.view(), logits.view(), context);
  EXPECT_EQ(arena.used(), 0);
  EXPECT_EQ(sequence->tokens(), n);
  return logits;
}

double distance(Matrix<const float> a, Matrix<const float> b) {  // relative, root mean square
  double difference = 0, size = 0;
  for (i64 r = 0; r < a.rows; r++)
    for (i64 c = 0; c < a.cols; c++) {
      difference += (static_cast<double>(a(r, c)) - b(r, c)) * (static_cast<double>(a(r, c)) - b(r, c));
      size += static_cast<double>(b(r, c)) * b(r, c);
    }
  return std::sqrt(difference / size);
}

bool same_bits(const OwnedMatrix<float>& a, const OwnedMatrix<float>& b) {
  return std::memcmp(a.view().data, b.view().data, static_cast<std::size_t>(a.rows() * a.cols()) * sizeof(float)) == 0;
}

TEST(IntegerModel, SameLogitsEverywhereAndNearTheFloats) {
  Threads one(1), two(2);
  for (const TinyModel& tiny : kTinyModels) {
    if (std::string_view(tiny.name) != "llama3" && std::string_view(tiny.name) != "mistral") continue;
    SCOPED_TRACE(tiny.name);
    TinyGolden golden = read_tiny_golden(tiny);
    std::unique_ptr<ModelFile> file = open_model_file(tiny_model_path(tiny));
    IntegerOptions options;
    options.windows = golden.prompts;
    std::unique_ptr<Model> integer = load_integer_decoder(*file, options, two), rescaled = load_rescaled_decoder(*file, options, two);
    const std::vector<Token>& prompt = golden.prompts[0];
    OwnedMatrix<float> logits = logits_of(*integer, prompt, static_cast<i64>(prompt.size()), chosen_isa(), two);
    for (const IsaRow& row : isas()) {
      if (!runs(row.isa)) continue;
      EXPECT_TRUE(same_bits(logits, logits_of(*integer, prompt, static_cast<i64>(prompt.size()), row.isa, two))) << row.name;
      EXPECT_TRUE(same_bits(logits, logits_of(*integer, prompt, 1, row.isa, two))) << row.name;
      EXPECT_TRUE(same_bits(logits, logits_of(*integer, prompt, 5, row.isa, one))) << row.name;
    }
    for (i64 t = 0; t < logits.rows(); t++)
      for (float value : logits.view().row_span(t)) ASSERT_EQ(value * 16384, std::nearbyint(value * 16384));
    OwnedMatrix<float> judge = logits_of(*rescaled, prompt, static_cast<i64>(prompt.size()), chosen_isa(), two);
    // Codes that fall to the other side of a half are what tells the two apart: a fraction of the error of rounding to 8 bits.
    const double to_judge = distance(logits.view(), judge.view()), to_floats = distance(logits.view(), golden.logits[0].view()),
                 judge_to_floats = distance(judge.view(), golden.logits[0].view());
    std::printf("  %-8s relative distance to float rescaling %.4f, to floats %.4f; of float rescaling to floats %.4f\n", tiny.name, to_judge, to_floats,
                judge_to_floats);
    EXPECT_LT(to_judge, 0.6 * judge_to_floats);
    EXPECT_LT(to_floats, 1.2 * judge_to_floats);
    EXPECT_LT(judge_to_floats, 0.12);
  }
}

TEST(IntegerModel, OtherKindsAreRefusedByName) {
  Threads threads(1);
  struct { const char* name; const char* says; } const rows[] = {{"qwen2", "biases"}, {"qwen3", "norms of heads"}, {"gemma2", "another gate"}};
  for (const auto& row : rows) {
    std::unique_ptr<ModelFile> file = open_model_file(tiny_model_path({row.name, 0}));
    IntegerOptions options;
    options.windows = {{1, 2, 3}};
    try {
      load_integer_decoder(*file, options, threads);
      ADD_FAILURE() << row.name << " was taken";
    } catch (const Error& e) {
      EXPECT_EQ(e.fault(), Fault::file);
      EXPECT_NE(std::string(e.what()).find(row.says), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace bitkerf
