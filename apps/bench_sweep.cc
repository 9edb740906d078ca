// bench --sweep: times every kernel of every form on random shapes, so that the cost of a shape that nobody timed can be
// predicted. bench --fit: learns from such tables, says how well it predicts shapes it has not seen, and keeps the model.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <set>
#include <sstream>

#include "compress/plan/cost_table.h"
#include "compress/plan/step.h"
#include "compress/plan/timing.h"
#include "core/error.h"
#include "machine.h"
#include "measure/clock.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;

// Formats that differ in what a cost depends on (bits, groups, minima, what a grid can be); others are like one of these.
constexpr std::string_view kFormats[] = {
    "bipolar1.g128", "bipolar2.g128", "ternary.g128", "int2.g64", "int3.g128", "int4.g32", "int4.g128", "int4.row", "uint4.g32",
    "int5.g64", "int6.g64", "int8.g128", "int8.row", "mxfp4", "nvfp4", "nf4", "e4m3"};

constexpr std::size_t kFormatsOfAShape = 6;

// Encodings of activations besides each form's usual one, for formats of at most so many bits: few bits of both are what
// some kernels are made for.
struct Activation {
  std::string_view name;
  int most_weight_bits;
};
constexpr Activation kActivations[] = {{"int8.row", 4}, {"int4.row", 2}, {"int2.row", 2}, {"bipolar1.row", 2}, {"int16.g64", 2}};

constexpr i64 kTokens[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 200, 256, 320, 512};
constexpr i64 kMostOps = i64{1} << 28;      // multiply-adds of a product: 0.3 ms of int8 on two cores of Zen 5
constexpr i64 kMostWeights = i64{1} << 22, kMostSide = 8192;

// Rows and columns that models have (multiples of 64 mostly) and others, evenly spread over their logarithms.
Shape random_shape(std::mt19937& random) {
  auto size = [&](double low, double high) {
    double v = low * std::pow(high / low, std::uniform_real_distribution<double>(0, 1)(random));
    i64 grain = random() % 4 == 0 ? 1 : 64;
    return std::max<i64>(grain, static_cast<i64>(v) / grain * grain);
  };
  for (;;)
    if (Shape shape{size(48, kMostSide), size(128, kMostSide)}; shape.rows * shape.cols <= kMostWeights) return shape;
}

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  if (!in) fail(Fault::file, "{}: cannot be read", path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  if (auto folder = std::filesystem::path(path).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
  std::ofstream out(path, std::ios::binary);
  if (!(out << text) || !out.flush()) fail(Fault::run_time, "{}: cannot be written", path);
}

struct Sweep {
  const Options& options;
  Isa isa = chosen_isa();
  Threads one{1};
  Threads all;
  ProductTimer timer{isa, kMostSide, kMostSide, 512};
  std::mt19937 random;
  Probe probe = load_probe(cache_folder(), isa, all.count(), false);
  ProbeWatch watch{isa, all.count()};
  std::vector<TimedWork> rows = {};
  std::set<std::string> timed;  // of the shape at hand

  explicit Sweep(const Options& given)
      : options(given), all(thread_count(given.threads)), random(static_cast<unsigned>(given.seed < 0 ? 1 : given.seed)) {}

  void time_linear(const FormRow& form, const NumberFormat& format, const PackedLinear& linear, std::span<const i64> tokens) {
    KernelList list = linear.kernels(isa);
    for (const PanelKernels* kernels : list.all())
      for (i64 count : tokens)
        for (Threads* threads : {&one, &all}) {
          if (threads == &all && all.count() == 1) continue;
          for (bool cold : {false, true}) {
            if (cold && count > kMostColdTokens) continue;
            Work work = describe(form.name, format, linear, *kernels, count, threads->count(), cold);
            if (!timed.insert(fmt::format("{} {} {} {} {} {}", work.kernel, work.format, work.activation, count, threads->count(), cold)).second)
              continue;  // floats, whatever the format
            rows.push_back({work, timer.seconds(linear, count, cold, *threads, kernels->name), roofline_seconds(work, probe)});
          }
        }
  }

  void time_shape(Shape shape, std::span<const i64> tokens) {
    timed.clear();
    // Some of the formats for each shape, so that there are more shapes.
    std::vector<std::string_view> names(std::begin(kFormats), std::end(kFormats));
    std::shuffle(names.begin(), names.end(), random);
    names.resize(kFormatsOfAShape);
    if (!options.format.empty()) names = {options.format};
    for (std::string_view name : names) {
      NumberFormat format = parse_number_format(name);
      std::optional<Quantized> weights;
      for (const FormRow& form : forms()) {
        if (!form.pack || !form.holds_format(format)) continue;
        std::vector<const Encoding*> inputs = {&usual_input(form, format)};
        for (const Activation& row : kActivations) {
          const Encoding& input = encoding(row.name);
          if (format.grid.bits() <= row.most_weight_bits && takes(form, format, input) && &input != inputs[0]) inputs.push_back(&input);
        }
        if (!weights) weights = random_weights(format, shape);
        watch.refresh(probe);
        for (const Encoding* input : inputs) time_linear(form, format, *form.pack(*weights, *input, all), tokens);
      }
    }
  }

  // Whole shapes only, so that every choice among kernels is complete.
  void run(double seconds) {
    double start = now();
    Progress progress("sweeping", "s");
    while (rows.empty() || now() - start < seconds) {
      progress.show(static_cast<i64>(now() - start), static_cast<i64>(seconds));
      Shape shape = random_shape(random);
      std::vector<i64> tokens;
      for (i64 count : kTokens)
        if (count * shape.rows * shape.cols <= kMostOps) tokens.push_back(count);
      std::shuffle(tokens.begin() + 1, tokens.end(), random);  // one token always: decode
      if (tokens.size() > 4) tokens.resize(4);
      time_shape(shape, tokens);
    }
  }
};

Json to_json(const Distribution& d) { return {{"median", d.median}, {"p95", d.p95}, {"worst", d.worst}}; }
Json to_json(const Evaluation::Choice& c) {
  return {{"choices", c.choices}, {"forest", to_json(c.forest)}, {"best_of_three", to_json(c.best_of_three)},
          {"roofline", to_json(c.roofline)}, {"fixed", to_json(c.fixed)}};
}

std::string choice_text(std::string_view of, const Evaluation::Choice& c) {
  auto text = [](const Distribution& d) { return fmt::format("{:.3f} {:.3f} {:.2f}", d.median, d.p95, d.worst); };
  return fmt::format("{:<38} {:>6} {:>20} {:>20} {:>20} {:>20}\n", of, c.choices, text(c.forest), text(c.best_of_three), text(c.roofline),
                     text(c.fixed));
}

}  // namespace

int run_verb_bench_sweep(const Options& options) {
  Sweep sweep(options);
  sweep.run(static_cast<double>(options.seconds));
  std::string path = options.output.empty() ? cache_folder() + "/" + probe_key(sweep.isa, sweep.all.count()) + ".csv" : options.output;
  write_text(path, to_csv(sweep.rows, sweep.probe));
  if (options.json) print_json({{"rows", sweep.rows.size()}, {"file", path}});
  else print(fmt::format("{} times in {}\n", sweep.rows.size(), path));
  return 0;
}

int run_verb_bench_fit(const Options& options) {
  Isa isa = chosen_isa();
  Threads threads(thread_count(options.threads));
  Probe probe = load_probe(cache_folder(), isa, threads.count(), false);
  std::vector<TimedWork> rows = settle(from_csv(read_text(options.fit)), probe);
  if (rows.size() < 10) fail(Fault::file, "{}: {} times, expected at least 10", options.fit, rows.size());
  ForestOptions forest;
  constexpr int kFolds = 5;
  Evaluation e = evaluate(rows, probe, kFolds, forest, threads);
  double start = now();
  CostModel model = CostModel::train(rows, probe, forest, threads);
  double train_seconds = now() - start;
  std::vector<Work> works;
  for (std::size_t i = 0; i < 10000; i++) works.push_back(rows[i % rows.size()].work);
  double predict_seconds = 1e9;
  for (int i = 0; i < 5; i++) {
    start = now();
    model.estimate(works, threads);
    predict_seconds = std::min(predict_seconds, now() - start);
  }
  std::string path = cost_model_path(cache_folder(), isa, threads.count());
  write_text(path, model.to_bytes());
  if (!options.output.empty()) {
    // The same table with what was predicted for each row while its shape was held out.
    std::istringstream lines(to_csv(rows, probe));
    std::string text, line;
    for (std::size_t i = 0; std::getline(lines, line); i++)
      text += i == 0 ? line + ",fold,predicted,factor\n" : fmt::format("{},{},{:.4e},{:.4f}\n", line, e.fold[i - 1], e.predicted[i - 1], e.factor[i - 1]);
    write_text(options.output, text);
  }
  if (options.json) {
    print_json({{"rows", rows.size()}, {"shapes", e.shapes}, {"folds", kFolds}, {"error", to_json(e.error)}, {"r2", e.r2},
                {"r2_log_seconds", e.r2_log_seconds}, {"rank_correlation", e.rank_correlation}, {"regret", to_json(e.all)},
                {"regret_of_one_format", to_json(e.one_format)}, {"train_seconds", train_seconds},
                {"seconds_of_10000_predictions", predict_seconds}, {"file", path}});
    return 0;
  }
  print(fmt::format("{} times of {} shapes, each held out once in {} parts\n"
                    "error: median {:.1f} %, 95th percentile {:.1f} %; R2 {:.3f} of log(time / bound), {:.4f} of log(time); rank correlation {:.4f}\n"
                    "trained in {:.1f} s; 10,000 predictions in {:.1f} ms; kept in {}\n\n"
                    "regret: median, 95th percentile, worst\n{:<38} {:>6} {:>20} {:>20} {:>20} {:>20}\n{}{}",
                    rows.size(), e.shapes, kFolds, 100 * e.error.median, 100 * e.error.p95, e.r2, e.r2_log_seconds, e.rank_correlation,
                    train_seconds, 1e3 * predict_seconds, path, "choice among", "", "forest", "best 3 timed", "roofline", "one for all",
                    choice_text("kernels and formats", e.all), choice_text("kernels of a format", e.one_format)));
  return 0;
}

}  // namespace bitkerf
