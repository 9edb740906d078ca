// Thresholds for forms/product_study/refine.h from calibration text: which low parts of activations are worth their products.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compress/calibration/statistics.h"
#include "core/threads.h"
#include "files/model_file.h"
#include "files/tokenizer.h"

namespace bitkerf {

// Lines NAME = THRESHOLD for the matrices of blocks (blk.*) so that `share` of the low parts of these windows are multiplied: those
// that lower gradient times squared error of the output the most. Without gradients all rows count alike. Fault::usage where
// nothing can be refined. progress(windows done, in all); false stops (Fault::run_time).
std::string choose_thresholds(const ModelFile& file, std::span<const std::vector<Token>> windows, const Statistics& statistics, double share, Threads& threads,
                              const std::function<bool(i64 done, i64 all)>& progress);

}  // namespace bitkerf
