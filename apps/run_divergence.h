// How far a file's predictions are from its source's when both run here.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "files/tokenizer.h"
#include "options.h"

namespace bitkerf {

// The mean KL(source || file) over windows of equal length, in nats per token, as `eval --reference` finds it: with the forms and
// the rounding of inputs that both run with.
double run_divergence(const Options& options, const std::string& source, const std::string& file, std::span<const std::vector<Token>> windows,
                      const std::function<void(i64 done, i64 all)>& shown);

}  // namespace bitkerf
