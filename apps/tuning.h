// Distillation as the verbs do it: with progress, Ctrl-C that keeps what was done, and texts from the options.
#pragma once

#include <nlohmann/json.hpp>

#include "compress/tune.h"
#include "options.h"

namespace bitkerf {

// `file` tuned by --steps steps to `out`. Stopped: Fault::run_time, and the same call goes on from `out`.part.
TuneReport tune_file(const ModelFile& source, const ModelFile& file, const std::string& out, const Options& options, Threads& threads);
nlohmann::ordered_json tune_json(const TuneReport& report);
std::string tune_text(const TuneReport& report);

}  // namespace bitkerf
