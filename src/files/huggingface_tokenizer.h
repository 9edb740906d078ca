// tokenizer.json of a Hugging Face folder, translated to the keys that make_tokenizer() reads.
#pragma once

#include <string>
#include <string_view>

#include "files/metadata.h"

namespace bitkerf {

// Reads <folder>/tokenizer.json, and <folder>/tokenizer_config.json where there is one, and sets tokenizer.ggml.* in
// `metadata`, with what GGUF has no key for under bitkerf.tokenizer.*. Throws Error{Fault::file} that names a
// construct which is not supported, a damaged file, or one above the limits (size, nesting).
void read_huggingface_tokenizer(const std::string& folder, Metadata& metadata);

// The same from the text of tokenizer.json, and of tokenizer_config.json (may be empty); `where` names the first.
void translate_tokenizer(const std::string& where, std::string_view tokenizer, std::string_view config,
                         Metadata& metadata);

}  // namespace bitkerf
