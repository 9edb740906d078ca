// Tuning a compressed model by distillation: norm gains and one factor per row of every packed matrix move, by the
// gradient of KL(source || compressed) on calibration text; codes stay. Nothing that is stored grows: a row's factor goes
// into the scales that it has.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/threads.h"
#include "files/model_file.h"
#include "files/tokenizer.h"

namespace bitkerf {

struct TuneOptions {
  i64 steps = 60, windows_per_step = 2;
  i64 judged = 4;  // the last windows: never trained on, and what decides whether the result is kept
  // Of Adam, falling along a cosine: in shares of a norm's root mean square gain, and of a row's scale. For a file whose
  // divergence is full_divergence or more; less for nearer ones, by the square root, as the change that is missing is less.
  double gain_rate = 3e-3, factor_rate = 4e-3, full_divergence = 0.4;
  std::string state;  // file that an interrupted run is kept in and gone on from; empty: none
  double seconds_between_saves = 30;
  // After each step; loss: mean divergence of its windows. False: stop, with the state saved.
  std::function<bool(i64 step, i64 steps, double loss)> progress = {};
};

struct TuneReport {
  i64 steps = 0;             // less than asked: stopped, and nothing was written
  i64 gains = 0, rows = 0;   // that moved
  double before = 0, after = 0;  // mean divergence of the judged windows in nats per token; after: of what was written
  bool kept = false;         // the tuned parameters; otherwise they did no good, and `out` is `compressed` as it was
  i64 bytes = 0;             // memory beside the two models
};

// Steps take windows in turn, from the first again when all but the judged ones are used up. Writes `out` (temporary
// file, then renamed; may be compressed's own path). Models of different shapes, too few windows: Fault::usage.
TuneReport tune_model(const ModelFile& source, const ModelFile& compressed, std::span<const std::vector<Token>> windows,
                      const std::string& out, Threads& threads, const TuneOptions& options = {});

}  // namespace bitkerf
