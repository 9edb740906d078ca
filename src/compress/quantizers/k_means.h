// Codebooks by Lloyd's algorithm. The same data give the same codebook: the start is made of quantiles, not drawn.
#pragma once

#include <span>
#include <vector>

namespace bitkerf {

// `count` centres (count, dimension) of the points (n, dimension), n >= 1; count is a power of two. A local optimum of
// the sum of squared distances; of dimension 1 in ascending order.
std::vector<float> k_means(std::span<const float> points, int dimension, int count);

}  // namespace bitkerf
