#include "compress/calibration/calibrate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "models/file_source.h"
#include "models/tiny_models.h"

namespace bitkerf {
namespace {

constexpr TinyModel kTiny{"llama3", 0};

std::vector<std::vector<Token>> some_windows() {
  std::vector<std::vector<Token>> windows;
  for (const std::vector<Token>& prompt : read_tiny_golden(kTiny).prompts) windows.push_back({prompt.begin(), prompt.begin() + 24});
  return windows;
}

void expect_same(const Statistics& a, const Statistics& b) {
  ASSERT_EQ(a.inputs.size(), b.inputs.size());
  EXPECT_EQ(a.windows, b.windows);
  for (const auto& [name, input] : a.inputs) {
    const InputStatistics* other = b.input_of(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_EQ(input->tokens, other->tokens);
    EXPECT_EQ(input->mean, other->mean);
    EXPECT_EQ(input->largest, other->largest);
    for (i64 r = 0; r < input->cols(); r++)
      for (i64 c = 0; c < input->cols(); c++) ASSERT_EQ(input->moment(r, c), other->moment(r, c)) << name << " " << r << " " << c;
  }
}

// The first layer's input is the normed embedding, which is computed here from its definition.
TEST(Calibrate, MomentsAreThoseOfTheInput) {
  Threads threads(2);
  auto file = open_model_file(tiny_model_path(kTiny));
  std::vector<std::vector<Token>> windows = some_windows();
  Statistics statistics = calibrate(*file, windows, "test", threads);
  EXPECT_EQ(statistics.input_of("blk.0.attn_q"), statistics.input_of("blk.0.attn_v"));
  EXPECT_EQ(statistics.input_of("blk.1.ffn_gate"), statistics.input_of("blk.1.ffn_up"));
  EXPECT_NE(statistics.input_of("blk.1.ffn_gate"), statistics.input_of("blk.1.ffn_down"));
  EXPECT_TRUE(statistics.input_of("output") || statistics.input_of("token_embd"));
  const InputStatistics* input = statistics.input_of("blk.0.attn_q");
  ASSERT_NE(input, nullptr);

  FileSource source(*file, "dense", threads, {});
  i64 cols = input->cols();
  Shape table = source.shape("token_embd.weight");
  std::unique_ptr<Linear> embedding = source.linear("token_embd", table, {});
  Buffer<float> gain = source.vector("blk.0.attn_norm.weight", cols);
  double epsilon = file->metadata().number("llama.attention.layer_norm_rms_epsilon", 0, 1);
  std::vector<double> moment(static_cast<std::size_t>(cols * cols)), mean(static_cast<std::size_t>(cols));
  std::vector<float> largest(static_cast<std::size_t>(cols));
  OwnedMatrix<float> x(1, cols);
  i64 tokens = 0;
  for (const std::vector<Token>& window : windows) {
    for (Token token : window) {
      embedding->expand(token, x.view());
      double squares = 0;
      for (i64 c = 0; c < cols; c++) squares += double{x(0, c)} * x(0, c);
      double factor = 1 / std::sqrt(squares / static_cast<double>(cols) + epsilon);
      for (i64 r = 0; r < cols; r++) {
        double v = x(0, r) * factor * gain[r];
        auto i = static_cast<std::size_t>(r);
        mean[i] += v;
        largest[i] = std::max(largest[i], static_cast<float>(std::fabs(v)));
        for (i64 c = 0; c < cols; c++) moment[static_cast<std::size_t>(r * cols + c)] += v * x(0, c) * factor * gain[c];
      }
      tokens++;
    }
  }
  EXPECT_EQ(input->tokens, tokens);
  double size = 0;
  for (i64 c = 0; c < cols; c++) size = std::max(size, moment[static_cast<std::size_t>(c * cols + c)] / static_cast<double>(tokens));
  for (i64 r = 0; r < cols; r++) {
    EXPECT_NEAR(input->mean[static_cast<std::size_t>(r)], mean[static_cast<std::size_t>(r)] / static_cast<double>(tokens), 1e-5);
    EXPECT_NEAR(input->largest[static_cast<std::size_t>(r)], largest[static_cast<std::size_t>(r)], 1e-5);
    for (i64 c = 0; c < cols; c++)
      EXPECT_NEAR(input->moment(r, c), moment[static_cast<std::size_t>(r * cols + c)] / static_cast<double>(tokens), 1e-5 * size);
  }
}

TEST(Calibrate, SameBitsForAnyThreadsAndAfterAnInterruption) {
  auto file = open_model_file(tiny_model_path(kTiny));
  std::vector<std::vector<Token>> windows = some_windows();
  ASSERT_GE(windows.size(), 2u);
  Threads one(1), three(3);
  Statistics whole = calibrate(*file, windows, "test", one);
  expect_same(whole, calibrate(*file, windows, "test", three));

  std::string state = (std::filesystem::path(testing::TempDir()) / "calibration.part").string();
  std::filesystem::remove(state);
  Calibration stop{.state = state, .progress = [](i64 done, i64) { return done < 1; }};
  EXPECT_EQ(calibrate(*file, windows, "test", one, stop).windows, 1);
  ASSERT_TRUE(std::filesystem::exists(state));
  i64 first = -1;
  Calibration go_on{.state = state, .progress = [&](i64 done, i64) { return first = first < 0 ? done : first, true; }};
  expect_same(whole, calibrate(*file, windows, "test", three, go_on));
  EXPECT_EQ(first, 1);  // nothing was computed twice
  EXPECT_FALSE(std::filesystem::exists(state));

  // Another text starts anew.
  calibrate(*file, windows, "test", one, stop);
  windows[0][3] ^= 1;
  first = -1;
  calibrate(*file, windows, "test", three, go_on);
  EXPECT_EQ(first, 0);
}

TEST(Calibrate, DefaultTextsAreThere) {
  double share = 0;
  std::size_t bytes = 0;
  for (const CalibrationText& text : default_calibration()) {
    EXPECT_GT(text.text.size(), 100000u) << text.name;
    share += text.share, bytes += text.text.size();
  }
  EXPECT_DOUBLE_EQ(share, 1);
  EXPECT_LE(bytes, 1000000u);
}

}  // namespace
}  // namespace bitkerf
