// The products of one step of a model that is packed in our forms, as the predictor of costs wants them.
#pragma once

#include "compress/plan/cost.h"
#include "files/model_file.h"
#include "forms/list.h"

namespace bitkerf {

// How a product by these kernels is described.
Work describe(std::string_view form, const NumberFormat& format, const PackedLinear& linear, const PanelKernels& kernels, i64 tokens,
              int threads, bool cold);

struct Step {
  std::vector<Work> products;  // q, k and v are one where they are packed alike, and so are gate and up
  double bytes = 0;            // of weights that are read
  i64 other_matrices = 0;      // that are not packed in our forms, so that nothing is known of their cost
};
// Of `tokens` tokens of one sequence, logits of the last: as Model::forward() and head() multiply. Weights count as cold
// when they are more than the last cache holds.
Step products_of_step(const ModelFile& file, int read_bits, i64 tokens, int threads, Isa isa);

}  // namespace bitkerf
