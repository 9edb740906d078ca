#include "run_divergence.h"

#include "core/check.h"
#include "engine/evaluate.h"
#include "load.h"

namespace bitkerf {

double run_divergence(const Options& options, const std::string& source, const std::string& file, std::span<const std::vector<Token>> windows,
                      const std::function<void(i64 done, i64 all)>& shown) {
  CHECK(!windows.empty());
  const i64 length = static_cast<i64>(windows.front().size());
  std::vector<Token> tokens;
  for (const std::vector<Token>& window : windows) {
    CHECK_EQ(static_cast<i64>(window.size()), length);
    tokens.insert(tokens.end(), window.begin(), window.end());
  }
  Options loading = options;
  loading.context = length;
  const std::unique_ptr<Engine> made = load_engine(loading, file), reference = load_engine(loading, source);
  return evaluate(*made, tokens, {.window = length}, reference.get(), [&](i64 done, i64 all, double) { shown(done, all); }).kld_mean;
}

}  // namespace bitkerf
