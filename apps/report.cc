// One HTML page about a compressed file: where its bytes went, what other sizes would cost, predictions beside
// measurements.
#include <filesystem>

#include "compress/report/measured.h"
#include "compress/report/page.h"
#include "compress/report/roofline.h"
#include "compress/plan/step.h"
#include "core/error.h"
#include "load.h"
#include "machine.h"
#include "output.h"
#include "planning.h"
#include "verbs.h"

namespace bitkerf {
namespace {

constexpr int kCurvePoints = 48;
constexpr double kMiB = 1 << 20;

std::string stem(const std::string& path) { return std::filesystem::path(path).stem().string(); }

// What --measured says, as series of the two plots.
struct Measured {
  std::vector<PlotSeries> by_size, by_prediction;
};
Measured read_measured(const std::vector<std::string>& paths) {
  Measured measured;
  for (const std::string& path : paths) {
    MeasuredSeries series = parse_measured(path, read_text_file(path));
    PlotSeries sizes{stem(path) + (series.from_perplexity ? " (log of perplexity ratio)" : " (measured)"), {}},
        predictions{stem(path), {}};
    for (const MeasuredFile& file : series.files) {
      sizes.points.push_back({file.mib, file.divergence, file.name});
      if (file.predicted) predictions.points.push_back({*file.predicted, file.divergence, file.name});
    }
    measured.by_size.push_back(std::move(sizes));
    if (!predictions.points.empty()) measured.by_prediction.push_back(std::move(predictions));
  }
  return measured;
}

// What the model multiplies for a token and for a prompt, on the roofline; nothing when none of it is in forms of ours.
constexpr i64 kPromptTokens = 512;
std::optional<Plot> roofline_of(const ModelFile& file, const Options& options) {
  Threads threads(thread_count(options.threads));
  const Isa isa = chosen_isa();
  std::vector<RooflineStep> steps = {{"one token (decode)", products_of_step(file, 0, 1, threads.count(), isa).products, {}},
                                     {fmt::format("a prompt of {} tokens", kPromptTokens),
                                      products_of_step(file, 0, kPromptTokens, threads.count(), isa).products, {}}};
  if (steps[0].products.empty()) return std::nullopt;
  const Probe probe = load_probe(cache_folder(), isa, threads.count(), false);
  std::optional<CostModel> costs;
  try {
    costs = load_cost_model(cache_folder(), isa, threads.count());
  } catch (const Error&) {
    // None was learned on this machine: then all points lie on the roof.
  }
  for (RooflineStep& step : steps) {
    for (const Work& work : step.products) step.seconds.push_back(roofline_seconds(work, probe));
    if (!costs) continue;
    const std::vector<CostModel::Estimate> estimates = costs->estimate(step.products, probe, threads);
    for (std::size_t i = 0; i < step.products.size(); i++)
      if (costs->knows(step.products[i].kernel)) step.seconds[i] = estimates[i].seconds;
  }
  return roofline_plot(probe, threads.count(), steps);
}

}  // namespace

int run_verb_report(const Options& options) {
  std::unique_ptr<ModelFile> file = open_model_file(model_path(options.model));
  const std::vector<MatrixPart> parts = matrix_parts(*file);
  const double mib = static_cast<double>(file->file_bytes()) / kMiB;
  Measured measured = read_measured(options.measured);

  Report report;
  report.title = file->metadata().text("general.name", stem(file->path()));
  report.kinds = bytes_by_kind(*file);
  report.facts = {{"file", std::filesystem::path(file->path()).filename().string()},
                  {"size", fmt::format("{:.2f} MiB", mib)}};
  Plot pareto{"Size and divergence", "file, MiB", "nats per token", false, true, false, {}};
  if (!options.reference.empty()) {
    Options planned = options;
    planned.model = options.reference;
    Planning planning(planned);
    report.curve = curve_points(planning.problem, plan_curve(planning.problem, kCurvePoints));
    PlotSeries line{"bitkerf's plans (predicted)", {}, true};
    for (const CurvePoint& point : report.curve) line.points.push_back({point.mib, point.harm});
    pareto.series.push_back(std::move(line));
    report.facts.push_back({"source", fmt::format("{}, {:.2f} MiB", stem(planning.file->path()),
                                                  static_cast<double>(planning.file->file_bytes()) / kMiB)});
    if (std::optional<double> harm = predicted_divergence(planning.problem, parts)) {
      report.facts.push_back({"predicted divergence", fmt::format("{:.5f} nats per token", *harm)});
      pareto.series.push_back({"this file (predicted)", {{mib, *harm}}});
    }
  }
  pareto.series.insert(pareto.series.end(), measured.by_size.begin(), measured.by_size.end());

  report.pictures.push_back({"bits", bit_map_svg("Bits per weight", cells_of_matrices(parts)),
                             "Layers from top to bottom, their matrices from left to right; scales and padding are "
                             "counted. Point at a cell for its recipe."});
  if (std::vector<BitCell> segments = cells_of_segments(parts); !segments.empty())
    report.pictures.push_back({"segments", bit_map_svg("Bits per weight of segments of rows", segments),
                               "A matrix whose rows are packed in several ways; rows of an embedding are ordered about "
                               "by how often their token occurs."});
  if (!pareto.series.empty())
    report.pictures.push_back({"pareto", plot_svg(pareto),
                               "Divergence from the source's distributions. Points from perplexities show "
                               "ln(perplexity / source's), which is not a divergence "
                               "but about as large."});
  if (!measured.by_prediction.empty())
    report.pictures.push_back({"predicted",
                               plot_svg({"Predicted and measured divergence", "predicted, nats per token",
                                         "measured, nats per token", true, true, true, measured.by_prediction}),
                               "On the dashed line a prediction came true."});

  if (std::optional<Plot> roofline = roofline_of(*file, options))
    report.pictures.push_back({"roofline", plot_svg(*roofline),
                               "Every product of the model, its seconds predicted from what was learned of this machine "
                               "(`bench --fit`; otherwise from its roofline). Point at one for its shape and kernel. What lies above "
                               "the slope has its weights in a cache."});

  const std::string output = options.output.empty() ? "report.html" : options.output;
  write_whole(output, report_html(report));
  if (!options.svg.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options.svg, error);
    if (error) fail(Fault::run_time, "{}: cannot be made: {}", options.svg, error.message());
    for (const Picture& picture : report.pictures) write_whole(options.svg + "/" + picture.name + ".svg", picture.svg);
  }
  if (options.json) {
    nlohmann::ordered_json pictures = nlohmann::ordered_json::array();
    for (const Picture& picture : report.pictures) pictures.push_back(picture.name);
    print_json({{"output", output}, {"pictures", pictures}});
  } else {
    print(output + "\n");
  }
  return 0;
}

}  // namespace bitkerf
