#include "nearest.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace bitkerf {

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); i++)
    for (std::size_t j = 0; j <= b.size(); j++) {
      if (i == 0 || j == 0) {
        d[i][j] = static_cast<int>(i + j);
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

std::string did_you_mean(std::string_view name, std::span<const std::string_view> known, std::string otherwise) {
  if (name.size() > 64) return otherwise;  // not a slip of the finger
  std::string_view best;
  int best_distance = 1 + static_cast<int>(name.size()) / 2;
  for (std::string_view candidate : known) {
    int distance = edit_distance(name, candidate);
    if (candidate.starts_with(name) && name.size() >= 3) distance = 1;
    if (distance < best_distance) best = candidate, best_distance = distance;
  }
  return best.empty() ? otherwise : fmt::format("did you mean '{}'?", best);
}

}  // namespace bitkerf
