// Qwen 2 has biases on q, k and v (found in the file); Qwen 3 has norms on the heads of q and k instead.
#include "models/list.h"

namespace bitkerf {

DecoderSpec qwen2_spec(const Metadata& metadata, LinearSource& source, const ModelOptions&) {
  return read_decoder_spec(metadata, source);
}

DecoderSpec qwen3_spec(const Metadata& metadata, LinearSource& source, const ModelOptions& options) {
  DecoderSpec spec = qwen2_spec(metadata, source, options);
  spec.head_norms = true;
  return spec;
}

}  // namespace bitkerf
