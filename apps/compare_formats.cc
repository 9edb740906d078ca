// How well number formats keep a model's matrices, or normal and Laplace values: signal to noise and crest factors.
#include <cmath>

#include "compress/compare_formats.h"
#include "compress/recipe.h"
#include "core/error.h"
#include "files/mapped_file.h"
#include "files/safetensors.h"
#include "load.h"
#include "machine.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;

// The formats of INT v.s. FP, unless others are named ("all", or names with commas between).
std::vector<NumberFormat> chosen_formats(const std::string& text) {
  std::vector<NumberFormat> formats;
  if (text == "all") {
    for (const FormatRow& row : number_formats()) formats.push_back(parse_number_format(row.name));
    return formats;
  }
  std::string_view rest = text.empty() ? "mxint8,mxfp8,mxfp6,mxint4,mxfp4,nvint4,nvfp4" : std::string_view(text);
  while (!rest.empty()) {
    std::string_view name = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    formats.push_back(parse_number_format(name));
  }
  return formats;
}

struct Table {
  std::vector<NumberFormat> formats;
  const ScaleRule& rule;
  Threads& threads;
  Json rows = Json::array();
  std::string text;
  std::vector<double> sums;

  void head() {
    text += fmt::format("{:<48} {:>11} {:>6} {:>6}", "values", "shape", "crest", "at 16");
    for (const NumberFormat& f : formats) text += fmt::format(" {:>{}}", format_row(f).name, std::max<std::size_t>(6, format_row(f).name.size()));
    text += "\n";
    sums.resize(formats.size());
  }
  void add(std::string_view name, Matrix<const float> values) {
    CrestFactors at32 = crest_factors(values, 32), at16 = crest_factors(values, 16);
    text += fmt::format("{:<48} {:>11} {:>6.2f} {:>6.2f}", name, fmt::format("{}x{}", values.rows, values.cols), at32.mean, at16.mean);
    Json noise;
    for (std::size_t i = 0; i < formats.size(); i++) {
      Quantized q = round_to_nearest(values, formats[i], rule, &threads);
      double db = signal_to_noise(values, q);
      std::string shown = std::isfinite(db) ? fmt::format("{:.1f}", db) : "exact";
      text += fmt::format(" {:>{}}", shown, std::max<std::size_t>(6, format_row(formats[i]).name.size()));
      noise[formats[i].name] = {{"db", std::isfinite(db) ? Json(db) : Json(nullptr)}, {"chosen", q.format.name},
                                {"bits_per_weight", q.format.bits_per_weight(values.cols)}};
      sums[i] += db;
    }
    text += "\n";
    rows.push_back({{"name", name}, {"rows", values.rows}, {"cols", values.cols}, {"crest_32", at32.mean}, {"crest_16", at16.mean},
                    {"crest_32_histogram", at32.histogram}, {"crest_16_histogram", at16.histogram}, {"signal_to_noise", noise}});
  }
};

// Every matrix of a list of tensors, as floats.
void add_matrices(const std::vector<Tensor>& tensors, Threads& threads, Table& table) {
  for (const Tensor& t : tensors) {
    if (t.shape.size() != 2 || t.rows() < 2 || t.cols() < 2 || t.cols() % t.type->block != 0) continue;
    OwnedMatrix<float> weights(t.rows(), t.cols());
    i64 row_bytes = t.type->bytes(t.cols());
    threads.split(t.rows(), [&](i64 first, i64 last) {
      t.type->dequantize(t.data + first * row_bytes, (last - first) * (t.cols() / t.type->block), weights.view().row(first));
    });
    for (i64 i = 0; i < t.weights(); i++)
      if (!std::isfinite(weights.view().data[i])) fail(Fault::file, "tensor '{}' holds what is not finite", t.name);
    table.add(t.name, weights.view());
  }
}

}  // namespace

int run_verb_compare_formats(const Options& options) {
  Threads threads(thread_count(options.threads));
  Table table{chosen_formats(options.format), options.search ? scale_rules::squared_error : scale_rules::largest, threads, {}, {}, {}};
  table.head();
  if (options.model.empty()) {
    // A million values each: the figures move by less than 0.02 dB with the seed.
    table.add("normal", normal_values(1000, 1024, 1).view());
    table.add("laplace", laplace_values(1000, 1024, 1).view());
  } else {
    if (options.model.ends_with(".safetensors")) {  // any model's, not only those that we run
      MappedFile file(options.model);
      add_matrices(parse_safetensors(options.model, file.bytes()), threads, table);
    } else {
      std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
      add_matrices(file->tensors(), threads, table);
    }
    if (table.rows.empty()) fail(Fault::file, "{}: has no matrices", options.model);
    table.text += fmt::format("{:<74}", "mean");
    for (std::size_t i = 0; i < table.formats.size(); i++) {
      double mean = table.sums[i] / static_cast<double>(table.rows.size());
      std::string shown = std::isfinite(mean) ? fmt::format("{:.1f}", mean) : "exact";
      table.text += fmt::format(" {:>{}}", shown, std::max<std::size_t>(6, format_row(table.formats[i]).name.size()));
    }
    table.text += "\n";
  }
  if (options.json) print_json({{"rows", table.rows}});
  else print("Signal to quantization noise in dB; crest: mean of max / rms over blocks of 32 and of 16.\n\n" + table.text);
  return 0;
}

}  // namespace bitkerf
