// Writes a model file whose matrices are in other number formats, as a recipe says.

#include "compress/calibration/statistics.h"
#include "compress/quantize_model.h"
#include "compress/records.h"
#include "core/cpu.h"
#include "core/error.h"
#include "forms/list.h"
#include "load.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;

std::string recipe_text(const Options& options) {
  if (!options.like.empty()) return recipe_of(*open_model_file(model_path(options.like)));
  if (options.recipe.empty())
    throw Error(Fault::usage, "no recipe given", "--recipe '*=rtn/int4.g64', --recipe @FILE, or --like FILE; --list shows what there is");
  if (options.recipe[0] != '@') return options.recipe;
  return read_text_file(options.recipe.substr(1));
}

// The table of everything that a recipe can say, by the survey's axes.
int list(const Options& options) {
  Json formats = Json::array();
  for (const FormatRow& row : number_formats()) {
    NumberFormat format = parse_number_format(row.name);
    std::string held_by;
    for (const FormRow& form : forms())
      if (form.open && form.holds_format(format)) held_by += (held_by.empty() ? "" : " ") + std::string(form.name);
    formats.push_back({{"name", row.name},
                       {"grid", grid_axis(format)},
                       {"range", range_axis(format)},
                       {"values", levels_axis(row)},
                       {"levels", format.grid.levels()},
                       {"bits", static_cast<double>(format.grid.bits()) / format.grid.dimension()},
                       {"granularity", granularity_axis(format)},
                       {"scale", format.scale->name},
                       {"forms", held_by},
                       {"about", row.about}});
  }
  Json rounding = Json::array(), methods = Json::array(), turns = Json::array();
  for (const InputTransform& row : input_transforms()) turns.push_back({{"name", row.name}, {"about", row.about}});
  for (const QuantizerRow& row : quantizers())
    rounding.push_back({{"name", row.name}, {"range_by", row.range}, {"rounding", row.rounding}, {"data", row.rounding == "feedback" ? "calibration" : "none (zero-shot)"}, {"about", row.about}});
  for (const PaperRow& row : papers()) methods.push_back({{"paper", row.paper}, {"recipe", row.recipe}, {"missing", row.missing}});
  if (options.json) {
    print_json({{"formats", formats}, {"transforms", turns}, {"quantizers", rounding}, {"papers", methods}});
    return 0;
  }
  auto text = [](const Json& row, const char* key) { return row[key].get<std::string>(); };
  print(fmt::format("{:10} {:>6} {:>5}  {:12} {:10} {:8} {:9} {:5} {:22} {}\n", "format", "levels", "bits", "grid", "range", "values", "scale per",
                    "scale", "forms", "about"));
  for (const Json& f : formats)
    print(fmt::format("{:10} {:>6} {:>5}  {:12} {:10} {:8} {:9} {:5} {:22} {}\n", text(f, "name"), f["levels"].get<int>(), f["bits"].get<double>(),
                      text(f, "grid"), text(f, "range"), text(f, "values"), text(f, "granularity"), text(f, "scale"), text(f, "forms"), text(f, "about")));
  print("\nAppend .gN, .row, .tensor or .bROWSxCOLUMNS for other scales, .f32 .f16 .bf16 .e8m0 .e4m3 for another type: int3.g128, int4.bf16.row;\n"
        ":a=0.83, :split=e3m0, :v=HEX, :p=15 for a value instead of one that is searched or learned for each matrix.\n\n");
  print(fmt::format("{:10} {}\n", "transform", "of the input, in front of the quantizer"));
  for (const Json& t : turns) print(fmt::format("{:10} {}\n", text(t, "name"), text(t, "about")));
  print(fmt::format("\n{:10} {:14} {:9} {}\n", "quantizer", "range by", "rounding", "about (feedback looks at calibration data, the others at none: zero-shot)"));
  for (const Json& q : rounding) print(fmt::format("{:10} {:14} {:9} {}\n", text(q, "name"), text(q, "range_by"), text(q, "rounding"), text(q, "about")));
  print(fmt::format("\n{:42} {:28} {}\n", "paper", "recipe", "missing"));
  for (const Json& p : methods) print(fmt::format("{:42} {:28} {}\n", text(p, "paper"), text(p, "recipe"), text(p, "missing")));
  return 0;
}

// The records of a file that was made here: what its matrices are, and what runs.
int list_records(const Options& options) {
  std::vector<TensorRecord> records = tensor_records(*open_model_file(model_path(options.model)));
  Json rows = Json::array();
  std::string table = fmt::format("{:20} {:9} {:9} {:24} {:12} {:9} {}\n", "matrix", "transform", "quantizer", "format", "form", "input", "execution");
  for (const TensorRecord& r : records) {
    std::string_view execution = r.integer_only ? "integer-only" : "simulated";
    rows.push_back({{"matrix", r.matrix}, {"recipe", r.recipe}, {"transform", r.transform}, {"quantizer", r.quantizer}, {"format", r.format},
                    {"form", r.form}, {"input", r.input}, {"execution", execution}});
    table += fmt::format("{:20} {:9} {:9} {:24} {:12} {:9} {}\n", r.matrix, r.transform, r.quantizer, parse_number_format(r.format).label(), r.form,
                         r.input, execution);
  }
  if (options.json) print_json({{"records", rows}});
  else print(table);
  return 0;
}

}  // namespace

int run_verb_quantize(const Options& options) {
  if (options.list) return options.model.empty() ? list(options) : list_records(options);
  RecipeBook recipes(recipe_text(options));
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o FILE");
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  Statistics statistics;
  if (!options.calibration.empty()) statistics = load_statistics(options.calibration);
  QuantizeReport report;
  {
    Progress progress("quantizing", "M weights", 1000000);
    report = quantize_model(*file, recipes, options.output, threads, [&](i64 done, i64 all) { progress.show(done, all); },
                            options.calibration.empty() ? nullptr : &statistics);
  }
  double bits = report.weights > 0 ? 8.0 * static_cast<double>(report.packed_bytes) / static_cast<double>(report.weights) : 0;
  i64 bytes = open_model_file(options.output)->file_bytes();
  if (options.json) {
    print_json({{"output", options.output}, {"file_bytes", bytes}, {"matrices", report.matrices}, {"kept", report.kept},
                {"bits_per_weight", bits}, {"split_weights", report.split_weights}, {"relative_squared_error", report.squared_error}});
  } else {
    print(fmt::format("{}: {:.1f} MiB, {} matrices at {:.2f} bits per weight, {} kept, relative squared error {:.2e}\n", options.output,
                      static_cast<double>(bytes) / (1 << 20), report.matrices, bits, report.kept, report.squared_error));
    if (report.split_weights > 0)
      print(fmt::format("{:.3f} % of the weights in columns of 16 bits\n", 100 * static_cast<double>(report.split_weights) / static_cast<double>(report.weights)));
  }
  return 0;
}

}  // namespace bitkerf
