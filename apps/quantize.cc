// Writes a model file whose matrices are in other number formats, as a recipe says.
#include <fstream>
#include <iterator>

#include "compress/quantize_model.h"
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
  if (options.recipe.empty())
    throw Error(Fault::usage, "no recipe given", "--recipe '*=rtn/int4.g64', or --recipe @FILE; --list shows what there is");
  if (options.recipe[0] != '@') return options.recipe;
  std::ifstream stream(options.recipe.substr(1), std::ios::binary);
  if (!stream) fail(Fault::file, "{}: cannot be opened", options.recipe.substr(1));
  return std::string((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
}

int list(const Options& options) {
  Json formats = Json::array();
  for (const FormatRow& row : number_formats()) {
    NumberFormat format = parse_number_format(row.name);
    std::string held_by;
    for (const FormRow& form : forms())
      if (form.open && form.holds_format(format)) held_by += (held_by.empty() ? "" : " ") + std::string(form.name);
    formats.push_back({{"name", row.name},
                       {"grid", format.grid.is_affine() ? "uniform" : "non-uniform"},
                       {"range", row.has_minimum ? "asymmetric" : "symmetric"},
                       {"levels", format.grid.levels()},
                       {"bits", format.grid.bits()},
                       {"group", format.group},
                       {"scale", format.scale->name},
                       {"forms", held_by},
                       {"about", row.about}});
  }
  if (options.json) {
    Json names = Json::array();
    for (const QuantizerRow& row : quantizers()) names.push_back({{"name", row.name}, {"about", row.about}});
    print_json({{"formats", formats}, {"quantizers", names}});
    return 0;
  }
  print(fmt::format("{:10} {:>6} {:>4}  {:12} {:10} {:>5} {:6} {:12} {}\n", "format", "levels", "bits", "grid", "range", "group",
                    "scale", "forms", "about"));
  for (const Json& f : formats)
    print(fmt::format("{:10} {:>6} {:>4}  {:12} {:10} {:>5} {:6} {:12} {}\n", f["name"].get<std::string>(), f["levels"].get<int>(),
                      f["bits"].get<int>(), f["grid"].get<std::string>(), f["range"].get<std::string>(), f["group"].get<i64>(),
                      f["scale"].get<std::string>(), f["forms"].get<std::string>(), f["about"].get<std::string>()));
  print("\nAppend .gN or .row for another group, .f32 .f16 .bf16 .e8m0 .e4m3 for another scale: int3.g128, int4.bf16.row\n\nquantizers\n");
  for (const QuantizerRow& row : quantizers()) print(fmt::format("  {:8} {}\n", row.name, row.about));
  return 0;
}

}  // namespace

int run_verb_quantize(const Options& options) {
  if (options.list) return list(options);
  RecipeBook recipes(recipe_text(options));
  if (options.output.empty()) throw Error(Fault::usage, "no output file given", "-o FILE");
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  Threads threads(options.threads > 0 ? static_cast<int>(options.threads) : cpu_info().cores);
  QuantizeReport report;
  {
    Progress progress("quantizing", "M weights", 1000000);
    report = quantize_model(*file, recipes, options.output, threads, [&](i64 done, i64 all) { progress.show(done, all); });
  }
  double bits = report.weights > 0 ? 8.0 * static_cast<double>(report.packed_bytes) / static_cast<double>(report.weights) : 0;
  i64 bytes = open_model_file(options.output)->file_bytes();
  if (options.json) {
    print_json({{"output", options.output}, {"file_bytes", bytes}, {"matrices", report.matrices}, {"kept", report.kept},
                {"bits_per_weight", bits}, {"relative_squared_error", report.squared_error}});
  } else {
    print(fmt::format("{}: {:.1f} MiB, {} matrices at {:.2f} bits per weight, {} kept, relative squared error {:.2e}\n", options.output,
                      static_cast<double>(bytes) / (1 << 20), report.matrices, bits, report.kept, report.squared_error));
  }
  return 0;
}

}  // namespace bitkerf
