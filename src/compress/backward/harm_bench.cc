// Does 1/2 sum_r E[g_r^2] dW_r H dW_r^T predict what a rounded matrix does to a model? Rounds matrices one at a time and
// all together, and prints what it and simpler measures say beside the KL divergence that is measured.
//   harm_bench MODEL STATISTICS WINDOWS TEXT...
// STATISTICS: of `bitkerf calibrate`. Measured on WINDOWS windows of 512 tokens, from the texts in turn.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "compress/backward/blocks.h"
#include "compress/backward/differentiable_decoder.h"
#include "compress/calibration/statistics.h"
#include "compress/quantizers/round_to_nearest.h"
#include "core/cpu.h"
#include "core/error.h"
#include "models/file_source.h"
#include "models/list.h"

using namespace bitkerf;
using namespace bitkerf::backward;

namespace {

// Floats that stand in for a matrix.
class Floats final : public Linear {
 public:
  explicit Floats(OwnedMatrix<float> weights) : weights_(std::move(weights)) {}
  Shape shape() const override { return {weights_.rows(), weights_.cols()}; }
  i64 bytes() const override { return 4 * weights_.rows() * weights_.cols(); }
  std::string describe() const override { return "floats"; }
  void apply(Matrix<const float>, Matrix<float>, Context&) const noexcept override {}
  i64 scratch(i64) const override { return 0; }
  void expand(i64 first, Matrix<float> out) const noexcept override {
    std::copy_n(weights_.view().row(first), out.rows * out.cols, out.data);
  }

 private:
  OwnedMatrix<float> weights_;
};

std::vector<std::vector<Token>> read_windows(const ModelFile& file, std::span<char*> paths, std::size_t count) {
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file.metadata());
  std::vector<std::vector<Token>> texts, windows;
  for (const char* path : paths) {
    std::ifstream stream(path, std::ios::binary);
    texts.push_back(tokenizer->encode(std::string((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>()), Specials::as_text));
  }
  for (std::size_t w = 0; windows.size() < count; w++) {
    const std::vector<Token>& text = texts[w % texts.size()];
    std::size_t at = w / texts.size() * 512;
    if (at + 512 > text.size()) break;
    windows.emplace_back(text.begin() + static_cast<std::ptrdiff_t>(at), text.begin() + static_cast<std::ptrdiff_t>(at) + 512);
  }
  return windows;
}

struct Measures {
  double weights = 0, inputs = 0, harm = 0;  // |dW|^2 / |W|^2; tr(dW H dW^T) / tr(W H W^T); the harm
};

// The change of a matrix by rounding, and the matrix that it gives.
Measures measure(const Linear& linear, const InputStatistics& input, std::span<const float> gradient, const NumberFormat& format, Threads& threads,
                 OwnedMatrix<float>& rounded) {
  Shape shape = linear.shape();
  OwnedMatrix<float> weights(shape.rows, shape.cols), changed(shape.rows, shape.cols), seen(shape.rows, shape.cols), seen_weights(shape.rows, shape.cols);
  linear.expand(0, weights.view());
  Quantized q = round_to_nearest(weights.view(), format, scale_rules::largest, &threads);
  rounded = OwnedMatrix<float>(shape.rows, shape.cols);
  double squares = 0, sizes = 0, through = 0, through_weights = 0, harm = 0;
  for (i64 r = 0; r < shape.rows; r++)
    for (i64 c = 0; c < shape.cols; c++) rounded(r, c) = q.weight(r, c), changed(r, c) = rounded(r, c) - weights(r, c);
  threads.split(shape.rows, [&](i64 first, i64 last) {
    product(changed.view().sub_rows(first, last - first), input.moment.view(), seen.view().sub_rows(first, last - first));
    product(weights.view().sub_rows(first, last - first), input.moment.view(), seen_weights.view().sub_rows(first, last - first));
  });
  for (i64 r = 0; r < shape.rows; r++) {
    double row = 0;
    for (i64 c = 0; c < shape.cols; c++) {
      squares += double{changed(r, c)} * changed(r, c);
      sizes += double{weights(r, c)} * weights(r, c);
      row += double{seen(r, c)} * changed(r, c);
      through_weights += double{seen_weights(r, c)} * weights(r, c);
    }
    through += row;
    harm += 0.5 * gradient[static_cast<std::size_t>(r)] * row;
  }
  return {squares / sizes, through / through_weights, harm};
}

// Spearman's: of ranks.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  auto ranks = [](const std::vector<double>& v) {
    std::vector<std::size_t> order(v.size());
    for (std::size_t i = 0; i < v.size(); i++) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return v[x] < v[y]; });
    std::vector<double> rank(v.size());
    for (std::size_t i = 0; i < v.size(); i++) rank[order[i]] = static_cast<double>(i);
    return rank;
  };
  std::vector<double> x = ranks(a), y = ranks(b);
  double n = static_cast<double>(a.size()), sum = 0;
  for (std::size_t i = 0; i < x.size(); i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return 1 - 6 * sum / (n * (n * n - 1));
}

class Bench {
 public:
  Bench(char** words, int count) : file_(open_model_file(words[1])), source_(*file_, "stored_float", threads_, {}), statistics_(load_statistics(words[2])) {
    DecoderSpec spec = describe_decoder(*file_, source_, {});
    decoder_ = std::make_unique<DifferentiableDecoder>(spec, load_decoder_weights(spec, source_), threads_);
    windows_ = read_windows(*file_, std::span(words + 4, words + count), std::strtoul(words[3], nullptr, 10));
    reference_ = hidden();
  }

  // Each of these layers' matrices, one at a time.
  void single(std::span<const i64> layers, std::span<const char* const> formats) {
    std::printf("%-18s %-10s %10s %10s %10s %10s %9s\n", "matrix", "format", "weights", "inputs", "harm", "measured", "measured/harm");
    std::vector<double> weights, inputs, harms, measured;
    for (i64 layer : layers)
      for (Projection* p : projections(layer))
        for (const char* format : formats) {
          std::unique_ptr<Linear> kept = std::move(p->linear);
          OwnedMatrix<float> rounded;
          Measures m = measure(*kept, *statistics_.input_of(p->name), statistics_.gradient.at(p->name), parse_number_format(format), threads_, rounded);
          p->linear = std::make_unique<Floats>(std::move(rounded));
          double kld = divergence();
          p->linear = std::move(kept);
          std::printf("%-18s %-10s %10.2e %10.2e %10.2e %10.2e %9.2f\n", p->name.c_str(), format, m.weights, m.inputs, m.harm, kld, kld / m.harm);
          std::fflush(stdout);
          weights.push_back(m.weights), inputs.push_back(m.inputs), harms.push_back(m.harm), measured.push_back(kld);
        }
    double spread = 0, mean = 0;
    for (std::size_t i = 0; i < harms.size(); i++) mean += std::log(measured[i] / harms[i]) / static_cast<double>(harms.size());
    for (std::size_t i = 0; i < harms.size(); i++) spread += std::pow(std::log(measured[i] / harms[i]) - mean, 2) / static_cast<double>(harms.size());
    std::printf("rank correlation with the measured divergence over %zu: weights %.3f, inputs %.3f, harm %.3f; measured / harm %.2f, times or by %.2f\n",
                harms.size(), rank_correlation(weights, measured), rank_correlation(inputs, measured), rank_correlation(harms, measured), std::exp(mean),
                std::exp(std::sqrt(spread)));
  }

  // All linear layers at once.
  void uniform(const char* format) {
    double harm = 0;
    std::vector<std::unique_ptr<Linear>> kept;
    for (i64 layer = 0; layer < decoder_->spec().shape.layers; layer++)
      for (Projection* p : projections(layer)) {
        OwnedMatrix<float> rounded;
        harm += measure(*p->linear, *statistics_.input_of(p->name), statistics_.gradient.at(p->name), parse_number_format(format), threads_, rounded).harm;
        kept.push_back(std::exchange(p->linear, std::make_unique<Floats>(std::move(rounded))));
      }
    double kld = divergence();
    std::printf("all layers %-10s harm %.3f, measured %.3f, ratio %.2f\n", format, harm, kld, kld / harm);
    auto next = kept.begin();
    for (i64 layer = 0; layer < decoder_->spec().shape.layers; layer++)
      for (Projection* p : projections(layer)) p->linear = std::move(*next++);
  }

 private:
  std::vector<Projection*> projections(i64 layer) {
    DecoderLayer& l = decoder_->weights().layers[static_cast<std::size_t>(layer)];
    return {&l.q, &l.k, &l.v, &l.output, &l.gate, &l.up, &l.down};
  }
  std::vector<OwnedMatrix<float>> hidden() {
    std::vector<std::span<const Token>> spans(windows_.begin(), windows_.end());
    std::vector<OwnedMatrix<float>> result;
    std::vector<Matrix<float>> views;
    for (std::span<const Token> window : spans) views.push_back(result.emplace_back(static_cast<i64>(window.size()), decoder_->spec().shape.width).view());
    decoder_->set_factors("", {});  // forgets what was expanded
    decoder_->forward(spans, views);
    return result;
  }
  double divergence() {
    std::vector<OwnedMatrix<float>> changed = hidden();
    std::vector<double> sums(changed.size());
    threads_.split(static_cast<i64>(changed.size()), [&](i64 first, i64 last) {
      for (auto w = static_cast<std::size_t>(first); w < static_cast<std::size_t>(last); w++)
        for (i64 t = 0; t < 512; t += 64) {
          OwnedMatrix<float> logits(64, decoder_->spec().shape.vocabulary);
          decoder_->logits(changed[w].view().sub_rows(t, 64), logits.view());
          sums[w] += backward::divergence([&](i64, i64, Matrix<float> out) { decoder_->logits(reference_[w].view().sub_rows(t, 64), out); })(
              {0, t, logits.view(), 0, {}});
        }
    });
    double sum = 0;
    for (double s : sums) sum += s;
    return sum / (512 * static_cast<double>(changed.size()));
  }

  Threads threads_{cpu_info().cores};
  std::unique_ptr<ModelFile> file_;
  FileSource source_;
  Statistics statistics_;
  std::unique_ptr<DifferentiableDecoder> decoder_;
  std::vector<std::vector<Token>> windows_;
  std::vector<OwnedMatrix<float>> reference_;
};

}  // namespace

int main(int count, char** words) {
  if (count < 5) return std::fprintf(stderr, "usage: harm_bench MODEL STATISTICS WINDOWS TEXT...\n"), 2;
  try {
    Bench bench(words, count);
    for (const char* format : {"int4.g64", "int3.g64", "int2.g64"}) bench.uniform(format);
    const i64 layers[] = {0, 11, 20};
    const char* formats[] = {"int4.g64", "int3.g64", "int2.g64"};
    bench.single(layers, formats);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "error: %s\n", error.what()), 1;
  }
}
