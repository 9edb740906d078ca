// Phi-3 and 3.5: q, k and v in one matrix, gate and up in one, and a rotary embedding whose pairs are slowed by one of
// two lists of factors, for short and for long contexts (LongRoPE, Ding et al., 2024).
#include <cmath>

#include "core/error.h"
#include "models/list.h"

namespace bitkerf {
namespace {

std::vector<double> factors(const Metadata& metadata, LinearSource& source, std::string_view length, i64 pairs) {
  std::string tensor = fmt::format("rope_factors_{}.weight", length),
              key = fmt::format("bitkerf.rope.{}_factors", length);
  std::vector<double> values;
  if (source.has(tensor)) {
    Buffer<float> stored = source.vector(tensor, pairs);
    values.assign(stored.span().begin(), stored.span().end());
  } else {
    values = metadata.numbers(key).value_or(std::vector<double>());
    if (!values.empty() && static_cast<i64>(values.size()) != pairs) {
      fail(Fault::file, "{}: key {} has {} numbers; expected {}", metadata.where(), key, values.size(), pairs);
    }
  }
  for (double value : values) {
    if (!(value > 0 && value < 1e9))
      fail(Fault::file, "{}: {} holds {}; expected numbers above 0", metadata.where(), key, value);
  }
  return values;
}

}  // namespace

DecoderSpec phi3_spec(const Metadata& metadata, LinearSource& source, const ModelOptions& options) {
  DecoderSpec spec = read_decoder_spec(metadata, source, "longrope");
  spec.fused_qkv = spec.fused_gate_up = true;

  RotarySpec& rotary = spec.rotaries[0];
  i64 pairs = static_cast<i64>(rotary.frequencies.size());
  std::vector<double> short_factors = factors(metadata, source, "short", pairs);
  std::vector<double> long_factors = factors(metadata, source, "long", pairs);
  if (short_factors.empty() != long_factors.empty()) {
    fail(Fault::file, "{}: has rotary factors for only one of short and long contexts", metadata.where());
  }
  if (short_factors.empty()) return spec;

  i64 trained = metadata.integer(key_of(metadata, "rope.scaling.original_context_length"), 2, i64{1} << 31);
  double stretch = static_cast<double>(spec.shape.context) / static_cast<double>(trained);
  double usual = stretch > 1 ? std::sqrt(1 + std::log(stretch) / std::log(static_cast<double>(trained))) : 1;
  rotary.magnitude = metadata.number(key_of(metadata, "rope.scaling.attn_factor"), 1e-3, 1e3, usual);
  // One list for the whole life of a sequence, by what it may grow to: keys in the cache keep their angles.
  const std::vector<double>& chosen =
      chosen_context(options.context, spec.shape.context) > trained ? long_factors : short_factors;
  for (std::size_t i = 0; i < chosen.size(); i++) rotary.frequencies[i] /= chosen[i];
  return spec;
}

}  // namespace bitkerf
