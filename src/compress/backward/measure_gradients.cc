#include "compress/backward/measure_gradients.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>

#include "compress/backward/differentiable_decoder.h"
#include "compress/calibration/moments.h"
#include "core/error.h"
#include "files/gguf.h"
#include "files/mapped_file.h"
#include "models/file_source.h"
#include "models/list.h"

namespace bitkerf {
namespace {

// Labels are drawn anew by whoever changes it.
constexpr std::uint64_t kSeed = 20;

using backward::WeightedMoments;

std::vector<float> mean(const std::vector<double>& sum, i64 tokens) {
  std::vector<float> result;
  for (double s : sum) result.push_back(static_cast<float>(s / static_cast<double>(tokens)));
  return result;
}

// Sums of an interrupted pass, in a GGUF container: "MATRIX.square" and "input" as float64.
constexpr std::string_view kSquare = ".square", kInput = "input", kMoment = ".moment", kTotals = ".totals";

void save(const GradientState& state, const backward::Derivatives& sum, const backward::WeightedMoments& moments, i64 done) {
  Metadata metadata(state.path);
  metadata.set("general.type", std::string("gradients"));
  metadata.set("bitkerf.gradients.key", state.key);
  metadata.set("bitkerf.gradients.windows", static_cast<std::uint64_t>(done));
  metadata.set("bitkerf.gradients.tokens", static_cast<std::uint64_t>(sum.tokens));
  metadata.set("bitkerf.gradients.loss", sum.loss);
  std::vector<Tensor> tensors;
  auto add = [&](const std::string& name, const std::vector<double>& values) {
    if (values.empty()) return;
    tensors.push_back({name, stored_type("F64"), {static_cast<i64>(values.size())}, reinterpret_cast<const std::byte*>(values.data()),
                       static_cast<i64>(values.size() * sizeof(double))});
  };
  for (const auto& [name, rows] : sum.matrices) add(name + std::string(kSquare), rows.square);
  add(std::string(kInput), sum.input);
  // Of moments the upper triangles, and (weight, tokens).
  std::deque<std::vector<float>> triangles;
  std::deque<std::vector<double>> totals;
  for (const auto& [name, moment] : moments) {
    const i64 n = moment.sum.cols();
    std::vector<float>& upper = triangles.emplace_back();
    upper.reserve(static_cast<std::size_t>(n * (n + 1) / 2));
    for (i64 r = 0; r < n; r++) upper.insert(upper.end(), moment.sum.view().row(r) + r, moment.sum.view().row(r) + n);
    tensors.push_back({name + std::string(kMoment), stored_type("F32"), {static_cast<i64>(upper.size())}, reinterpret_cast<const std::byte*>(upper.data()),
                       static_cast<i64>(upper.size() * sizeof(float))});
    add(name + std::string(kTotals), totals.emplace_back(std::vector<double>{moment.weight, static_cast<double>(moment.tokens), static_cast<double>(n)}));
  }
  write_gguf(state.path, metadata, tensors);
}

// Windows done before; 0 where there is nothing to go on from.
i64 go_on(const GradientState& state, i64 windows, backward::Derivatives& sum, backward::WeightedMoments& moments) {
  if (state.path.empty() || !std::filesystem::exists(state.path)) return 0;
  MappedFile file(state.path);
  Gguf gguf = parse_gguf(state.path, file.bytes());
  if (gguf.metadata.text("bitkerf.gradients.key", "") != state.key) return 0;
  for (const Tensor& tensor : gguf.tensors) {
    if (tensor.name.ends_with(kMoment)) continue;
    if (tensor.type->name != "F64") fail(Fault::file, "{}: '{}' is stored as {}; expected F64", state.path, tensor.name, tensor.type->name);
    std::vector<double> values(static_cast<std::size_t>(tensor.weights()));
    std::memcpy(values.data(), tensor.data, values.size() * sizeof(double));
    if (tensor.name == kInput) sum.input = std::move(values);
    else if (tensor.name.ends_with(kSquare)) sum.matrices[tensor.name.substr(0, tensor.name.size() - kSquare.size())].square = std::move(values);
    else if (tensor.name.ends_with(kTotals)) {
      const std::string name = tensor.name.substr(0, tensor.name.size() - kTotals.size());
      auto upper = std::find_if(gguf.tensors.begin(), gguf.tensors.end(), [&](const Tensor& t) { return t.name == name + std::string(kMoment); });
      const i64 n = values.size() == 3 && values[2] >= 1 && values[2] <= 1e6 ? static_cast<i64>(values[2]) : 0;
      if (n == 0 || upper == gguf.tensors.end() || upper->type->name != "F32" || upper->weights() != n * (n + 1) / 2)
        fail(Fault::file, "{}: '{}' has no triangle of moments", state.path, tensor.name);
      backward::WeightedMoment& moment = moments[name];
      moment.weight = values[0], moment.tokens = static_cast<i64>(values[1]);
      moment.sum = OwnedMatrix<float>(n, n);
      const std::byte* from = upper->data;
      for (i64 r = 0; r < n; from += (n - r) * 4, r++) std::memcpy(moment.sum.view().row(r) + r, from, static_cast<std::size_t>((n - r) * 4));
    }
  }
  sum.tokens = gguf.metadata.integer("bitkerf.gradients.tokens", 1, i64{1} << 50);
  sum.loss = gguf.metadata.number("bitkerf.gradients.loss", -1e300, 1e300);
  return gguf.metadata.integer("bitkerf.gradients.windows", 1, windows);
}

void mix_moments(WeightedMoments& moments, Statistics& statistics, Threads& threads) {
  constexpr double plain = kPlainShare;
  for (auto& [name, weighted] : moments) {
    auto known = statistics.inputs.find(name);
    if (known == statistics.inputs.end() || known->second->diagonal_only() || !(weighted.weight > 0)) continue;
    const InputStatistics& before = *known->second;
    CHECK_EQ(before.cols(), weighted.sum.cols());
    finish_moment(weighted.sum.view(), weighted.weight, threads);
    auto mixed = std::make_shared<InputStatistics>();
    mixed->tokens = before.tokens;
    mixed->moment = std::move(weighted.sum);
    Matrix<float> m = mixed->moment.view();
    for (i64 r = 0; r < m.rows; r++)
      for (i64 c = 0; c < m.cols; c++) m(r, c) = static_cast<float>(plain * before.moment(r, c) + (1 - plain) * m(r, c));
    statistics.weighed[name] = std::move(mixed);
  }
}

}  // namespace

OutputGradients measure_gradients(const ModelFile& file, std::span<const std::vector<Token>> windows, Threads& threads,
                                  const std::function<bool(i64 done, i64 all)>& progress, GradientReport* report,
                                  const GradientState& state, Statistics* statistics) {
  using namespace backward;
  FileSource source(file, "stored_float", threads, {});
  DecoderSpec spec = describe_decoder(file, source, {});
  i64 longest = 0;
  for (const std::vector<Token>& window : windows) {
    if (window.size() < 2) fail(Fault::usage, "calibration: a window of {} tokens; expected at least 2", window.size());
    longest = std::max(longest, static_cast<i64>(window.size()));
    for (Token token : window)
      if (token < 0 || token >= spec.shape.vocabulary) fail(Fault::usage, "calibration: token {} of {}", token, spec.shape.vocabulary);
  }
  if (windows.empty()) fail(Fault::usage, "calibration: no text");
  DifferentiableDecoder decoder(spec, load_decoder_weights(spec, source), threads);
  Derivatives sum;
  WeightedMoments moments;
  using Clock = std::chrono::steady_clock;
  Clock::time_point saved = Clock::now();
  const auto all = static_cast<i64>(windows.size());
  auto step = static_cast<std::size_t>(decoder.windows_at_once()), at = static_cast<std::size_t>(go_on(state, all, sum, moments));
  if (at > 0 && progress && !progress(static_cast<i64>(at), all)) return {};
  while (at < windows.size()) {
    std::size_t count = std::min(step, windows.size() - at);
    std::vector<std::span<const Token>> some(windows.begin() + static_cast<std::ptrdiff_t>(at),
                                             windows.begin() + static_cast<std::ptrdiff_t>(at + count));
    decoder.differentiate(some, static_cast<i64>(at), sampled_labels(kSeed), sum, statistics ? &moments : nullptr);
    at += count;
    const bool stop = progress && !progress(static_cast<i64>(at), all);
    if (!state.path.empty() && at < windows.size() && (stop || std::chrono::duration<double>(Clock::now() - saved).count() > state.seconds_between_saves)) {
      save(state, sum, moments, static_cast<i64>(at));
      saved = Clock::now();
    }
    if (stop) return {};
  }
  if (!state.path.empty()) std::filesystem::remove(state.path);
  OutputGradients result;
  for (const auto& [name, rows] : sum.matrices) result[name] = mean(rows.square, sum.tokens);
  result["token_embd.input"] = mean(sum.input, sum.tokens);
  if (statistics) mix_moments(moments, *statistics, threads);
  if (report) *report = {sum.loss / static_cast<double>(sum.tokens), sum.tokens, decoder.bytes(longest)};
  return result;
}

}  // namespace bitkerf
