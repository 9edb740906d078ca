// How models are executed: one row per value of --exec.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "models/model.h"

namespace bitkerf {

struct IntegerOptions {
  ModelOptions model = {};
  // Text that static scales are chosen on; each window starts as the model wants a text to start. At least one.
  std::vector<std::vector<Token>> windows = {};
};

// A decoder of Llama's kind: int8 weights, int8 (where that loses too much, int16) inputs with static scales, nothing but
// integers between token ids and logits. hidden of forward() are bytes of the integers that head() reads; logits of head() are
// the integer ones times a power of two, exactly. Other kinds: Fault::file.
std::unique_ptr<Model> load_integer_decoder(const ModelFile& file, const IntegerOptions& options, Threads& threads,
                                            const std::function<void(i64 done, i64 all)>& progress = {});
// The same codes and static scales with everything between the roundings in floats: what integer arithmetic is judged by.
std::unique_ptr<Model> load_rescaled_decoder(const ModelFile& file, const IntegerOptions& options, Threads& threads,
                                             const std::function<void(i64 done, i64 all)>& progress = {});

}  // namespace bitkerf
