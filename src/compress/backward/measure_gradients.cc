#include "compress/backward/measure_gradients.h"

#include <algorithm>

#include "compress/backward/differentiable_decoder.h"
#include "core/error.h"
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

}  // namespace

OutputGradients measure_gradients(const ModelFile& file, std::span<const std::vector<Token>> windows, Threads& threads,
                                  const std::function<bool(i64 done, i64 all)>& progress, GradientReport* report) {
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
  auto step = static_cast<std::size_t>(decoder.windows_at_once());
  for (std::size_t at = 0; at < windows.size(); at += step) {
    std::size_t count = std::min(step, windows.size() - at);
    std::vector<std::span<const Token>> some(windows.begin() + static_cast<std::ptrdiff_t>(at),
                                             windows.begin() + static_cast<std::ptrdiff_t>(at + count));
    decoder.differentiate(some, static_cast<i64>(at), sampled_labels(kSeed), sum);
    if (progress && !progress(static_cast<i64>(at + count), static_cast<i64>(windows.size()))) return {};
  }
  OutputGradients result;
  for (const auto& [name, rows] : sum.matrices) result[name] = mean(rows.square, sum.tokens);
  result["token_embd.input"] = mean(sum.input, sum.tokens);
  if (report) *report = {sum.loss / static_cast<double>(sum.tokens), sum.tokens, decoder.bytes(longest)};
  return result;
}

}  // namespace bitkerf
