#include "compress/quantizers/k_means.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "formats/grid.h"

namespace bitkerf {
namespace {

// Of sorted numbers a cell is a run, so a round costs `count` binary searches.
std::vector<float> k_means_sorted(std::span<const float> x, int count) {
  std::vector<double> sums(x.size() + 1, 0.0);
  for (std::size_t i = 0; i < x.size(); i++) sums[i + 1] = sums[i] + x[i];
  std::vector<float> centres(static_cast<std::size_t>(count));
  for (std::size_t k = 0; k < centres.size(); k++) centres[k] = x[(2 * k + 1) * x.size() / (2 * centres.size())];
  for (int round = 0; round < 100; round++) {
    bool moved = false;
    std::size_t first = 0;
    for (std::size_t k = 0; k < centres.size(); k++) {
      std::size_t last = x.size();
      if (k + 1 < centres.size())
        last = static_cast<std::size_t>(std::upper_bound(x.begin(), x.end(), (centres[k] + centres[k + 1]) / 2) - x.begin());
      if (last > first) {
        auto mean = static_cast<float>((sums[last] - sums[first]) / static_cast<double>(last - first));
        moved |= mean != centres[k];
        centres[k] = mean;
      }
      first = std::max(first, last);
    }
    if (!moved) break;
  }
  return centres;
}

// Cuts the points at medians, component after component, until there are `count` cells: their means are the start.
void halve(std::span<const float> points, int dimension, std::span<int> members, int count, int component, std::vector<float>& centres) {
  if (count == 1) {
    for (int i = 0; i < dimension; i++) {
      double sum = 0;
      for (int m : members) sum += points[static_cast<std::size_t>(m * dimension + i)];
      centres.push_back(members.empty() ? 0 : static_cast<float>(sum / static_cast<double>(members.size())));
    }
    return;
  }
  auto at = [&](int m) { return points[static_cast<std::size_t>(m * dimension + component)]; };
  std::stable_sort(members.begin(), members.end(), [&](int a, int b) { return at(a) < at(b); });
  std::size_t middle = members.size() / 2;
  int next = (component + 1) % dimension;
  halve(points, dimension, members.first(middle), count / 2, next, centres);
  halve(points, dimension, members.subspan(middle), count / 2, next, centres);
}

}  // namespace

std::vector<float> k_means(std::span<const float> points, int dimension, int count) {
  CHECK(dimension >= 1 && std::has_single_bit(static_cast<unsigned>(count)) && !points.empty());
  if (dimension == 1) {
    std::vector<float> sorted(points.begin(), points.end());
    std::sort(sorted.begin(), sorted.end());
    return k_means_sorted(sorted, count);
  }
  int n = static_cast<int>(points.size()) / dimension;
  std::vector<int> members(static_cast<std::size_t>(n));
  std::iota(members.begin(), members.end(), 0);
  std::vector<float> centres;
  halve(points, dimension, members, count, 0, centres);
  for (int round = 0; round < 20; round++) {
    Grid grid = Grid::points(dimension, centres);
    std::vector<double> sums(centres.size(), 0.0);
    std::vector<int> counts(static_cast<std::size_t>(count), 0);
    for (int p = 0; p < n; p++) {
      int code = grid.nearest(points.data() + p * dimension);
      counts[static_cast<std::size_t>(code)]++;
      for (int i = 0; i < dimension; i++) sums[static_cast<std::size_t>(code * dimension + i)] += points[static_cast<std::size_t>(p * dimension + i)];
    }
    for (int code = 0; code < count; code++)
      for (int i = 0; i < dimension; i++)
        if (counts[static_cast<std::size_t>(code)] > 0)
          centres[static_cast<std::size_t>(code * dimension + i)] =
              static_cast<float>(sums[static_cast<std::size_t>(code * dimension + i)] / counts[static_cast<std::size_t>(code)]);
  }
  return centres;
}

}  // namespace bitkerf
