// One pass of a model, in float32, over calibration text: the moments of every distinct layer input.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compress/calibration/statistics.h"
#include "core/threads.h"
#include "files/tokenizer.h"

namespace bitkerf {

// Text with a name for people, and the part of all windows that it should give.
struct CalibrationText {
  std::string name, text;
  double share = 1;
};
// The mix that comes with the program (data/calibration): prose, code, Markdown, other languages.
std::vector<CalibrationText> default_calibration();

inline constexpr i64 kCalibrationWindow = 512;  // tokens
inline constexpr i64 kCalibrationWindows = 64;

// The last tenth of every text is not calibrated on, but kept to measure on.
// `count` windows, each text's spread evenly over it and those of different texts taking turns; fewer where the texts are
// shorter (Fault::usage where they give none). Each starts as the model wants a text to start.
std::vector<std::vector<Token>> calibration_windows(const Tokenizer& tokenizer, std::span<const CalibrationText> texts, i64 count,
                                                    i64 length = kCalibrationWindow);
// Of that tenth: `count` windows of every text whose share is a tenth of the mix or more, fewer where there are not as many,
// those of different texts taking turns. May be empty.
std::vector<std::vector<Token>> windows_kept_apart(const Tokenizer& tokenizer, std::span<const CalibrationText> texts, i64 count,
                                                   i64 length = kCalibrationWindow);

struct Calibration {
  std::string state;              // file that an interrupted pass is kept in and gone on from; empty: none
  double seconds_between_saves = 20;
  std::function<bool(i64 done, i64 all)> progress = {};  // false: stop, with the state saved
};
// Statistics of `file`'s model over the windows. Sums are in one order, so a resumed pass gives the same bits, with any
// number of threads. Fault::file for a model whose matrices are packed for other than float32 products.
// Stopped: what has been seen so far, its `windows` less than all.
Statistics calibrate(const ModelFile& file, std::span<const std::vector<Token>> windows, const std::string& origin, Threads& threads,
                     const Calibration& how = {});

}  // namespace bitkerf
