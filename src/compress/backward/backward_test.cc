#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "compress/backward/differentiable_decoder.h"
#include "compress/backward/measure_gradients.h"
#include "core/error.h"
#include "models/file_source.h"
#include "models/list.h"
#include "models/tiny_models.h"

namespace bitkerf::backward {
namespace {

struct Tiny {
  explicit Tiny(const TinyModel& tiny, Threads& threads)
      : golden(read_tiny_golden(tiny)), file(open_model_file(tiny_model_path(tiny))), source(*file, "dense", threads, {}),
        decoder(make(tiny, threads)) {}
  DifferentiableDecoder make(const TinyModel& tiny, Threads& threads) {
    DecoderSpec spec = describe_decoder(*file, source, {.context = tiny.context});
    return DifferentiableDecoder(spec, load_decoder_weights(spec, source), threads);
  }
  // The windows and labels of make_gradients.py.
  Derivatives derivatives() {
    std::span<const Token> windows[] = {golden.prompts[0], std::span(golden.prompts[1]).first(40)};
    Derivatives sum;
    decoder.differentiate(windows, 0, cross_entropy({golden.prompts[2], golden.prompts[2]}), sum);
    return sum;
  }

  TinyGolden golden;
  std::unique_ptr<ModelFile> file;
  FileSource source;
  DifferentiableDecoder decoder;
};

std::map<std::string, std::vector<float>> read_gradients(const TinyModel& tiny) {
  std::ifstream in(tiny_model_path(tiny) + "/gradients.bin", std::ios::binary);
  std::map<std::string, std::vector<float>> result;
  std::int32_t size = 0;
  while (in.read(reinterpret_cast<char*>(&size), 4)) {
    std::string name(static_cast<std::size_t>(size), ' ');
    in.read(name.data(), size);
    in.read(reinterpret_cast<char*>(&size), 4);
    std::vector<float>& values = result[name];
    values.resize(static_cast<std::size_t>(size));
    in.read(reinterpret_cast<char*>(values.data()), 4 * std::streamsize{size});
  }
  CHECK(in.eof() && !result.empty());
  return result;
}

// The largest difference as a share of the largest expected value.
double difference(const std::vector<double>& actual, const std::vector<float>& expected) {
  if (actual.size() != expected.size()) return INFINITY;
  double largest = 0, scale = 0;
  for (std::size_t i = 0; i < actual.size(); i++) {
    double d = std::fabs(actual[i] - expected[i]);
    largest = d <= largest ? largest : d;
    scale = std::max(scale, std::fabs(double{expected[i]}));
  }
  return largest / scale;
}

TEST(Backward, LogitsAreThoseOfTheModel) {
  Threads threads(2);
  for (const TinyModel& tiny : kTinyModels) {
    SCOPED_TRACE(tiny.name);
    Tiny model(tiny, threads);
    std::vector<std::span<const Token>> windows(model.golden.prompts.begin(), model.golden.prompts.end());
    std::vector<OwnedMatrix<float>> hidden;
    std::vector<Matrix<float>> views;
    for (std::span<const Token> window : windows)
      views.push_back(hidden.emplace_back(static_cast<i64>(window.size()), model.decoder.spec().shape.width).view());
    model.decoder.forward(windows, views);
    double largest = 0;
    for (std::size_t p = 0; p < windows.size(); p++) {
      const OwnedMatrix<float>& expected = model.golden.logits[p];
      OwnedMatrix<float> logits(expected.rows(), expected.cols());
      model.decoder.logits(hidden[p].view(), logits.view());
      for (i64 t = 0; t < expected.rows(); t++)
        for (i64 r = 0; r < expected.cols(); r++) {
          double d = std::fabs(double{logits(t, r)} - expected(t, r));
          largest = d <= largest ? largest : d;
        }
    }
    EXPECT_LE(largest, 2e-4);  // as models_test has it
    std::printf("  %-12s logits differ by at most %.1e\n", tiny.name, largest);
  }
}

TEST(Backward, DerivativesAreThoseOfAutograd) {
  Threads threads(2);
  for (const TinyModel& tiny : kTinyModels) {
    SCOPED_TRACE(tiny.name);
    Tiny model(tiny, threads);
    Derivatives sum = model.derivatives();
    EXPECT_EQ(sum.tokens, 104);
    double largest = 0;
    std::size_t compared = 0;
    for (const auto& [name, expected] : read_gradients(tiny)) {
      auto dot = name.rfind('.');
      std::string matrix = name.substr(0, dot), kind = dot == std::string::npos ? "" : name.substr(dot + 1);
      double d = INFINITY;
      if (name == "loss") d = std::fabs(sum.loss / expected[0] - 1);
      else if (name == "input") d = difference(sum.input, expected);
      else if (sum.gains.contains(name)) d = difference(sum.gains[name], expected);
      else if (sum.matrices.contains(matrix)) {
        const RowDerivatives& rows = sum.matrices[matrix];
        d = difference(kind == "square" ? rows.square : kind == "factor" ? rows.factor : rows.bias, expected);
      }
      EXPECT_LE(d, 1e-4) << name;
      largest = std::max(largest, d);
      compared++;
    }
    EXPECT_EQ(compared, 2 + sum.gains.size() + 3 * sum.matrices.size());
    std::printf("  %-12s %zu vectors differ by at most %.1e\n", tiny.name, compared, largest);
  }
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

TEST(Backward, SameBitsForAnyNumberOfThreads) {
  for (const TinyModel& tiny : {TinyModel{"gemma3", 0}, TinyModel{"phi3", 0}}) {
    Threads one(1), three(3);
    Derivatives a = Tiny(tiny, one).derivatives(), b = Tiny(tiny, three).derivatives();
    EXPECT_EQ(a.loss, b.loss);
    EXPECT_TRUE(same_bits(a.input, b.input));
    for (const auto& [name, gain] : a.gains) EXPECT_TRUE(same_bits(gain, b.gains[name])) << name;
    for (const auto& [name, rows] : a.matrices) EXPECT_TRUE(same_bits(rows.square, b.matrices[name].square)) << name;
  }
}

// The divergence from another model, and factors of rows: against differences of the loss itself.
TEST(Backward, DivergenceFollowsFactors) {
  Threads threads(2);
  Tiny model({"llama_linear", 0}, threads);
  std::span<const Token> window[] = {model.golden.prompts[0]};
  OwnedMatrix<float> reference(64, 136);
  for (i64 i = 0; i < reference.rows() * reference.cols(); i++) reference.view().data[i] = 2 * std::sin(0.37f * static_cast<float>(i));
  Loss loss = divergence([&](i64, i64 first, Matrix<float> logits) {
    std::memcpy(logits.data, reference.view().row(first), static_cast<std::size_t>(logits.rows * logits.cols) * 4);
  });
  Derivatives sum;
  model.decoder.differentiate(window, 0, loss, sum);
  for (const auto& [matrix, row] : {std::pair<std::string, std::size_t>{"blk.1.attn_v", 3}, {"blk.0.attn_q", 7}, {"blk.2.ffn_down", 21},
                                    {"blk.1.ffn_gate", 50}, {"token_embd", static_cast<std::size_t>(window[0][5])}}) {
    std::vector<float> factors(sum.matrices[matrix].factor.size(), 1.0f);
    double losses[2];
    for (int side : {0, 1}) {
      factors[row] = side ? 1.01f : 1 / 1.01f;
      model.decoder.set_factors(matrix, factors);
      Derivatives moved;
      model.decoder.differentiate(window, 0, loss, moved);
      losses[side] = moved.loss;
    }
    model.decoder.set_factors(matrix, std::vector<float>(factors.size(), 1.0f));
    double slope = (losses[1] - losses[0]) / (2 * std::log(1.01));
    EXPECT_NEAR(slope, sum.matrices[matrix].factor[row], 2e-3 * std::fabs(slope) + 2e-3) << matrix;
  }
}

// Over all labels, weighted by p, the expected square of d -log p(label) / dz is p (1 - p): drawn labels agree with it.
TEST(Backward, LabelsAreDrawnFromTheModel) {
  i64 tokens = 4000;
  OwnedMatrix<float> logits(tokens, 5);
  for (i64 t = 0; t < tokens; t++)
    for (i64 r = 0; r < 5; r++) logits(t, r) = 0.7f * static_cast<float>(r);
  std::vector<double> square(5), token_square(static_cast<std::size_t>(tokens));
  double loss = sampled_labels(7)({0, 0, logits.view(), 0, square, token_square}), entropy = 0, by_token = 0;
  for (std::size_t r = 0; r < 5; r++) {
    double p = std::exp(0.7 * static_cast<double>(r)) / (1 + std::exp(0.7) + std::exp(1.4) + std::exp(2.1) + std::exp(2.8)), drawn = 0;
    entropy -= p * std::log(p);
    for (i64 t = 0; t < tokens; t++) drawn += double{logits(t, static_cast<i64>(r))} * logits(t, static_cast<i64>(r));
    EXPECT_NEAR(square[r] / static_cast<double>(tokens), p * (1 - p), 1e-6);
    EXPECT_NEAR(drawn / static_cast<double>(tokens), p * (1 - p), 0.03);  // four standard errors of 4,000 draws
  }
  EXPECT_NEAR(loss / static_cast<double>(tokens), entropy, 0.06);
  for (double s : square) by_token += s / static_cast<double>(tokens);
  for (double s : token_square) EXPECT_NEAR(s, by_token, 1e-6);
}

// Weighed moments: the trace of sum w x x^T is sum w |x|^2, and rows' squared derivatives add up to the weights.
TEST(Backward, MomentsAreWeighedByDerivatives) {
  for (const TinyModel& tiny : {TinyModel{"qwen3", 0}, TinyModel{"phi3", 0}}) {
    SCOPED_TRACE(tiny.name);
    Threads one(1), two(2);
    std::unique_ptr<ModelFile> file = open_model_file(tiny_model_path(tiny));
    std::vector<std::vector<Token>> prompts = read_tiny_golden(tiny).prompts;
    std::vector<std::span<const Token>> windows(prompts.begin(), prompts.end());
    auto run = [&](Threads& threads, Derivatives& sum) {
      FileSource source(*file, "stored_float", threads, {});
      DecoderSpec spec = describe_decoder(*file, source, {});
      DifferentiableDecoder decoder(spec, load_decoder_weights(spec, source), threads);
      WeightedMoments moments;
      decoder.differentiate(windows, 0, sampled_labels(7), sum, &moments);
      return moments;
    };
    Derivatives sum, again;
    WeightedMoments moments = run(one, sum), same = run(two, again);
    EXPECT_EQ(moments.size(), sum.matrices.size());
    for (const auto& [name, moment] : moments) {
      double squares = 0;
      for (double s : sum.matrices.at(name).square) squares += s;
      EXPECT_NEAR(moment.weight, squares, 1e-4 * squares) << name;
      EXPECT_EQ(moment.tokens, sum.tokens) << name;
      EXPECT_GT(moment.sum(0, 0), 0) << name;
      for (i64 c = 0; c < moment.sum.cols(); c++) EXPECT_EQ(moment.sum(0, c), same.at(name).sum(0, c)) << name;
    }
  }
}

TEST(Backward, OutputGradientsOfEveryRow) {
  for (const TinyModel& tiny : {TinyModel{"qwen3", 0}, TinyModel{"phi3", 0}}) {
    SCOPED_TRACE(tiny.name);
    Threads one(1), two(2);
    std::unique_ptr<ModelFile> file = open_model_file(tiny_model_path(tiny));
    std::vector<std::vector<Token>> prompts = read_tiny_golden(tiny).prompts;
    i64 calls = 0;
    GradientReport report;
    OutputGradients gradients = measure_gradients(*file, prompts, one, [&](i64 done, i64 all) { return calls++, done <= all; }, &report);
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(report.tokens, 3 * 64);
    EXPECT_EQ(gradients, measure_gradients(*file, prompts, two));
    for (const Tensor& tensor : file->tensors()) {
      if (tensor.shape.size() < 2) continue;
      std::string name = tensor.name.substr(0, tensor.name.size() - std::string(".weight").size());
      if (name == "token_embd" && file->find("output.weight")) continue;
      ASSERT_EQ(static_cast<i64>(gradients[name].size()), tensor.rows()) << name;
      for (float g : gradients[name]) EXPECT_GT(g, 0) << name;
    }
    EXPECT_EQ(static_cast<i64>(gradients["token_embd.input"].size()), file->find("token_embd.weight")->cols());
    EXPECT_TRUE(measure_gradients(*file, prompts, one, [](i64, i64) { return false; }).empty());
    // Stopped after each window, gone on with another number of threads: the same bits. Sums of another key do not count.
    const std::string path = testing::TempDir() + "/gradients";
    auto at_most = [](i64 windows) { return [windows](i64 done, i64) { return done < windows; }; };
    EXPECT_TRUE(measure_gradients(*file, prompts, one, at_most(1), nullptr, {.path = path, .key = "other"}).empty());
    std::vector<i64> seen;
    auto first = [&](i64 done, i64) { return seen.push_back(done), done < 2; };
    EXPECT_TRUE(measure_gradients(*file, prompts, one, first, nullptr, {.path = path, .key = "own"}).empty());
    EXPECT_EQ(seen, (std::vector<i64>{1, 2}));
    seen.clear();
    auto second = [&](i64 done, i64) { return seen.push_back(done), true; };
    GradientReport again;
    EXPECT_EQ(gradients, measure_gradients(*file, prompts, two, second, &again, {.path = path, .key = "own"}));
    EXPECT_EQ(seen, (std::vector<i64>{2, 3}));
    EXPECT_EQ(again.tokens, report.tokens);
    EXPECT_EQ(again.entropy, report.entropy);
    EXPECT_FALSE(std::filesystem::exists(path));
    prompts[1][3] = 136;
    EXPECT_THROW(measure_gradients(*file, prompts, one), Error);
  }
}

}  // namespace
}  // namespace bitkerf::backward
