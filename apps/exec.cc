#include "exec.h"

#include <algorithm>

#include "compress/calibration/calibrate.h"
#include "core/error.h"
#include "integer/integer_model.h"
#include "models/decoder.h"

namespace bitkerf {
namespace {

// Static scales are ranges, which few windows show; more make loading longer.
constexpr i64 kWindows = 8;

template <std::unique_ptr<Model> (*load)(const ModelFile&, const IntegerOptions&, Threads&, const std::function<void(i64, i64)>&)>
std::unique_ptr<Model> with_windows(const ModelFile& file, const ModelOptions& options, Threads& threads, const std::function<void(i64, i64)>& progress) {
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file.metadata());
  std::vector<CalibrationText> texts = default_calibration();
  const i64 trained = file.metadata().integer(key_of(file.metadata(), "context_length"), 1, i64{1} << 31, kCalibrationWindow);
  return load(file, {options, calibration_windows(*tokenizer, texts, kWindows, std::min(trained, kCalibrationWindow))}, threads, progress);
}

const ExecRow kExecs[] = {
    {kFloatExec, "integer products, floats between them", {}},
    {"integer", "nothing but integers from token ids to logits; static scales", with_windows<load_integer_decoder>},
    {"integer-rescaled", "the codes and scales of integer with floats between the products: its judge", with_windows<load_rescaled_decoder>},
    {"int-block", "8-bit blocks of 32 with powers of two, nothing but integers; encoders, by the verb embed", {}, true},
};

}  // namespace

std::span<const ExecRow> exec_rows() { return kExecs; }

const ExecRow& exec_row(std::string_view name, bool sentences) {
  std::string known;
  for (const ExecRow& row : kExecs) {
    if (row.sentences != sentences) continue;
    if (row.name == name) return row;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
  }
  fail(Fault::usage, "--exec: '{}' is not a way to execute this; known are: {}", name, known);
}

}  // namespace bitkerf
