// Statistics of a model over calibration text, with progress on the terminal, safe from Ctrl-C: for every verb that needs
// them.
#pragma once

#include "compress/calibration/calibrate.h"
#include "options.h"

namespace bitkerf {

// The files of --calibrate, or the mix that comes with the program.
std::vector<CalibrationText> calibration_texts(const Options& options);
// Of a model file with a tokenizer (Fault::file).
std::unique_ptr<Tokenizer> tokenizer_of(const ModelFile& file);

// Moments of inputs and gradients of outputs. `state`: a path that unfinished work is kept under; interrupted, it throws,
// and the same call goes on from there.
Statistics gather_statistics(const ModelFile& file, const Options& options, const std::string& state, Threads& threads);

}  // namespace bitkerf
