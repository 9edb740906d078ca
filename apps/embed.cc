// Texts to vectors: one line of text, one vector.
#include <algorithm>

#include "core/cpu.h"
#include "exec.h"
#include "integer/embed_texts.h"
#include "load.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

namespace bitkerf {

int run_verb_embed(const Options& options) {
  if (!options.exec.empty()) exec_row(options.exec, true);  // there is one only
  std::vector<std::string> texts;
  const std::string text = read_text(options);
  for (std::string_view rest = text; !rest.empty();) {
    std::size_t end = std::min(rest.find('\n'), rest.size());
    texts.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  Threads threads(static_cast<int>(options.threads > 0 ? options.threads : std::clamp(cpu_info().cores, 1, kMaxThreads)));
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  Embedded made;
  {
    Progress progress("reading texts", "texts");
    made = embed_texts(*file, texts, threads, [&](i64 done, i64 all) { progress.show(done, all); });
  }
  if (options.json) {
    nlohmann::ordered_json vectors = nlohmann::ordered_json::array();
    for (i64 t = 0; t < made.vectors.rows(); t++) {
      std::vector<double> row;
      for (std::int32_t value : made.vectors.view().row_span(t)) row.push_back(value * 0x1p-30);
      vectors.push_back(row);
    }
    return print_json({{"weight_bytes", made.weight_bytes}, {"tokens", made.tokens}, {"vectors", vectors}}), 0;
  }
  std::string lines;
  for (i64 t = 0; t < made.vectors.rows(); t++) {
    for (i64 c = 0; c < made.vectors.cols(); c++) lines += fmt::format("{}{:.7f}", c == 0 ? "" : " ", made.vectors(t, c) * 0x1p-30);
    lines += '\n';
  }
  print(lines);
  return 0;
}

}  // namespace bitkerf
