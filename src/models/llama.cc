// Llama 1 to 3 and what shares their graph: SmolLM2, TinyLlama, Mistral (with or without a sliding window).
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "models/list.h"

namespace bitkerf {
namespace {

// How Llama 3.1 stretches its context, from the four numbers in a Hugging Face config: slow pairs turn `factor` times
// slower, fast ones as before, those between by a mix of both. (GGUF files carry the resulting divisors as a tensor.)
std::vector<double> llama3_divisors(const Metadata& metadata, std::span<const double> frequencies) {
  double factor = metadata.number("bitkerf.rope.llama3.factor", 1e-3, 1e6);
  double low = metadata.number("bitkerf.rope.llama3.low_freq_factor", 1e-3, 1e6);
  double high = metadata.number("bitkerf.rope.llama3.high_freq_factor", 1e-3, 1e6);
  double trained = metadata.number("bitkerf.rope.llama3.original_context_length", 1, 1e12);
  if (high <= low)
    fail(Fault::file, "{}: rotary scaling from {} to {}; expected a rising range", metadata.where(), low, high);
  std::vector<double> divisors;
  for (double frequency : frequencies) {
    double turns = trained * frequency / (2 * std::numbers::pi);  // within the context it was first trained for
    double fast = (turns - low) / (high - low);
    divisors.push_back(turns > high ? 1 : turns < low ? factor : 1 / ((1 - fast) / factor + fast));
  }
  return divisors;
}

}  // namespace

DecoderSpec llama_spec(const Metadata& metadata, LinearSource& source, const ModelOptions&) {
  DecoderSpec spec = read_decoder_spec(metadata, source);
  spec.interleaved = metadata.text("bitkerf.rope_style", "neighbours") != "half";
  std::vector<double>& frequencies = spec.rotaries[0].frequencies;
  std::vector<double> divisors;
  if (source.has("rope_freqs.weight")) {
    Buffer<float> stored = source.vector("rope_freqs.weight", static_cast<i64>(frequencies.size()));
    for (float divisor : stored.span()) {
      if (divisor <= 0)
        fail(Fault::file, "{}: rope_freqs.weight holds {}; expected numbers above 0", metadata.where(), divisor);
      divisors.push_back(divisor);
    }
  } else if (metadata.has("bitkerf.rope.llama3.factor")) {
    divisors = llama3_divisors(metadata, frequencies);
  }
  for (std::size_t i = 0; i < divisors.size(); i++) frequencies[i] /= divisors[i];
  return spec;
}

}  // namespace bitkerf
