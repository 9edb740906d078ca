// How long one product takes, measured as a model meets it: the input lies in a cache, the weights come from where they
// are when a model of that size runs.
#pragma once

#include "compress/plan/cost.h"
#include "forms/list.h"

namespace bitkerf {

class ProductTimer {
 public:
  // For products of at most this size.
  ProductTimer(Isa isa, i64 rows, i64 cols, i64 tokens);

  // Seconds of y = W x for `tokens` rows of x. Cold: the weights are taken out of all caches before each try. Of several
  // tries the second best: other load only slows a try down, but the single best may be an accident.
  double seconds(const PackedLinear& linear, i64 tokens, bool cold, Threads& threads, std::string_view kernel);

 private:
  Isa isa_;
  Buffer<float> x_, y_;
  std::unique_ptr<Arena> arena_;
};

// A matrix of random weights in this format; rows repeat after 32, which no kernel can tell.
Quantized random_weights(const NumberFormat& format, Shape shape);

}  // namespace bitkerf
