// How far a model's predictions are from its source's: the mean KL(source || model) over windows of text, in float32.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "compress/backward/differentiable_decoder.h"
#include "core/threads.h"
#include "files/model_file.h"

namespace bitkerf {

namespace backward {

DifferentiableDecoder open_decoder(const ModelFile& file, Threads& threads);
// Nats per token. first: the share of each window's tokens that are read without being judged; `eval` skips a half.
// progress(windows done, in all) false: stop, the result is that of those.
double mean_divergence(DifferentiableDecoder& source, DifferentiableDecoder& model, std::span<const std::vector<Token>> windows, double first,
                       Threads& threads, const std::function<bool(i64 done, i64 all)>& progress = {});

}  // namespace backward
}  // namespace bitkerf
