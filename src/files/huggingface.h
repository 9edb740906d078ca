// A Hugging Face folder (config.json, *.safetensors, tokenizer.json), seen under GGUF's names. Nothing is converted:
// data stays as it lies. Where the two conventions differ, a key says so:
//
//   bitkerf.rope_style   "half": rotary pairs are (i, i + d/2). GGUF files of llama's architecture have their q and k
//                        rows permuted to pairs (2i, 2i + 1) instead.
//   bitkerf.norm_offset  added to every norm's gain (1 for Gemma, whose GGUF files have it added already)
//   bitkerf.rope.llama3.{factor,low_freq_factor,high_freq_factor,original_context_length}
//                        Llama 3's frequency scaling; GGUF files have the divisors, rope_freqs.weight
//   bitkerf.rope.{long,short}_factors
//                        arrays; GGUF files of Phi-3 have tensors rope_factors_{long,short}.weight
//   <architecture>.attention.sliding_window_pattern
//                        per layer: does it have the window; always there when sliding_window is
//   <architecture>.attention.scale
//                        what q.k is multiplied by, where it is not 1/sqrt(key_length)
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "files/model_file.h"

namespace bitkerf {

std::unique_ptr<ModelFile> open_huggingface(const std::string& folder);

// The text of a config.json as GGUF metadata. Throws Error{Fault::file}, with `where` in front.
Metadata translate_config(const std::string& where, std::string_view text);

// GGUF's name of a tensor of this model (its metadata made by translate_config); names that are not known stay as
// they are, and empty means that the tensor is not part of the model (buffers, an output tied to the embedding).
std::string translate_tensor_name(std::string_view name, const Metadata& metadata);

// The chat template in the text of a tokenizer_config.json (a text, or a list of named ones), if it has one, as
// tokenizer.chat_template and tokenizer.chat_template.NAME.
void translate_chat_template(const std::string& where, std::string_view text, Metadata& metadata);

}  // namespace bitkerf
