// Measured figures of files, ours or other programs', as people keep them: CSV.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitkerf {

struct MeasuredFile {
  std::string name;
  double mib = 0, divergence = 0;  // nats per token
  std::optional<double> predicted;
};
struct MeasuredSeries {
  bool from_perplexity = false;  // divergence is the logarithm of perplexity over the source's
  std::vector<MeasuredFile> files;
};

// Lines of commas; those that start with # are comments. The first names the columns: `name` (or `type`), `MiB`, one of
// `divergence` and `perplexity`, and if wanted `predicted`; others are passed over. With perplexities, the row `source`
// has the source's. Fault::file with path and line for what does not fit.
MeasuredSeries parse_measured(const std::string& path, std::string_view text);

}  // namespace bitkerf
