// Vectors of texts by an encoder in integer blocks.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "core/buffer.h"
#include "core/threads.h"
#include "files/model_file.h"

namespace bitkerf {

struct Embedded {
  OwnedMatrix<std::int32_t> vectors;  // (texts, width), of length 1 as Q30
  i64 tokens = 0;                     // of all texts
  i64 weight_bytes = 0;               // all that the model learned, as it is held
};

// Texts longer than the model's context are cut, their last token stays. A text without a token: Fault::usage. Vectors have the same
// bits on every instruction set and with any number of threads. progress(texts done, all) may be empty.
Embedded embed_texts(const ModelFile& file, std::span<const std::string> texts, Threads& threads,
                     const std::function<void(i64 done, i64 all)>& progress = {});

}  // namespace bitkerf
