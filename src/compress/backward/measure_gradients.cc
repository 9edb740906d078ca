#include "compress/backward/measure_gradients.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "compress/backward/differentiable_decoder.h"
#include "core/error.h"
#include "files/gguf.h"
#include "files/mapped_file.h"
#include "models/file_source.h"
#include "models/list.h"

namespace bitkerf {
namespace {

// Labels are drawn anew by whoever changes it.
constexpr std::uint64_t kSeed = 20;

std::vector<float> mean(const std::vector<double>& sum, i64 tokens) {
  std::vector<float> result;
  for (double s : sum) result.push_back(static_cast<float>(s / static_cast<double>(tokens)));
  return result;
}

// Sums of an interrupted pass, in a GGUF container: "MATRIX.square" and "input" as float64.
constexpr std::string_view kSquare = ".square", kInput = "input";

void save(const GradientState& state, const backward::Derivatives& sum, i64 done) {
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
  write_gguf(state.path, metadata, tensors);
}

// Windows done before; 0 where there is nothing to go on from.
i64 go_on(const GradientState& state, i64 windows, backward::Derivatives& sum) {
  if (state.path.empty() || !std::filesystem::exists(state.path)) return 0;
  MappedFile file(state.path);
  Gguf gguf = parse_gguf(state.path, file.bytes());
  if (gguf.metadata.text("bitkerf.gradients.key", "") != state.key) return 0;
  for (const Tensor& tensor : gguf.tensors) {
    if (tensor.type->name != "F64") fail(Fault::file, "{}: '{}' is stored as {}; expected F64", state.path, tensor.name, tensor.type->name);
    std::vector<double> values(static_cast<std::size_t>(tensor.weights()));
    std::memcpy(values.data(), tensor.data, values.size() * sizeof(double));
    if (tensor.name == kInput) sum.input = std::move(values);
    else if (tensor.name.ends_with(kSquare)) sum.matrices[tensor.name.substr(0, tensor.name.size() - kSquare.size())].square = std::move(values);
  }
  sum.tokens = gguf.metadata.integer("bitkerf.gradients.tokens", 1, i64{1} << 50);
  sum.loss = gguf.metadata.number("bitkerf.gradients.loss", -1e300, 1e300);
  return gguf.metadata.integer("bitkerf.gradients.windows", 1, windows);
}

}  // namespace

OutputGradients measure_gradients(const ModelFile& file, std::span<const std::vector<Token>> windows, Threads& threads,
                                  const std::function<bool(i64 done, i64 all)>& progress, GradientReport* report,
                                  const GradientState& state) {
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
  using Clock = std::chrono::steady_clock;
  Clock::time_point saved = Clock::now();
  const auto all = static_cast<i64>(windows.size());
  auto step = static_cast<std::size_t>(decoder.windows_at_once()), at = static_cast<std::size_t>(go_on(state, all, sum));
  if (at > 0 && progress && !progress(static_cast<i64>(at), all)) return {};
  while (at < windows.size()) {
    std::size_t count = std::min(step, windows.size() - at);
    std::vector<std::span<const Token>> some(windows.begin() + static_cast<std::ptrdiff_t>(at),
                                             windows.begin() + static_cast<std::ptrdiff_t>(at + count));
    decoder.differentiate(some, static_cast<i64>(at), sampled_labels(kSeed), sum);
    at += count;
    const bool stop = progress && !progress(static_cast<i64>(at), all);
    if (!state.path.empty() && at < windows.size() && (stop || std::chrono::duration<double>(Clock::now() - saved).count() > state.seconds_between_saves)) {
      save(state, sum, static_cast<i64>(at));
      saved = Clock::now();
    }
    if (stop) return {};
  }
  if (!state.path.empty()) std::filesystem::remove(state.path);
  OutputGradients result;
  for (const auto& [name, rows] : sum.matrices) result[name] = mean(rows.square, sum.tokens);
  result["token_embd.input"] = mean(sum.input, sum.tokens);
  if (report) *report = {sum.loss / static_cast<double>(sum.tokens), sum.tokens, decoder.bytes(longest)};
  return result;
}

}  // namespace bitkerf
