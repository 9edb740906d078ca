// What the model classes of Hugging Face differ in, as far as files are concerned: one row per class.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "files/metadata.h"

namespace bitkerf {

struct HuggingfaceFamily {
  std::string_view class_name;    // config.json's "architectures"
  std::string_view architecture;  // GGUF's general.architecture
  std::string_view activation_key, activation;
  bool norms_after;               // norms behind attention and feed-forward as well (Gemma 2 and 3)
  double norm_offset;             // added to norm gains
  // What config.json may leave out.
  bool tied_output;
  i64 head_size;                  // 0: hidden_size / heads
  double rope_base, local_rope_base;  // local: of windowed layers; 0: the same
  // Does the layer have a sliding window, if the model has one and config.json has no layer_types?
  bool (*has_window)(i64 layer, const Metadata& config);
  bool is_encoder = false;        // BERT: no rotation, no window, no output; norms with biases
};

std::span<const HuggingfaceFamily> huggingface_families();
// Throws Error{Fault::file} that names the known classes.
const HuggingfaceFamily& huggingface_family(const std::string& where, std::string_view class_name);

}  // namespace bitkerf
