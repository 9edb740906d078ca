// Speed of prefill and decode, each next to its share of this machine's measured limit. The limits are measured again
// in every round, between the tests, so that both see the same machine.
#include <algorithm>
#include <cmath>
#include <optional>

#include "compress/plan/step.h"
#include "core/error.h"
#include "core/printable.h"
#include "load.h"
#include "machine.h"
#include "measure/clock.h"
#include "output.h"
#include "refined.h"
#include "speed.h"
#include "verbs.h"

namespace bitkerf {
namespace {

struct Test {
  std::string name;
  std::vector<Token> tokens;
  double (*time)(Engine& engine, std::span<const Token> tokens);
  double ops, bytes;  // in all: multiply-adds count two; weights that are read
  bool bound_by_memory;
  std::vector<double> seconds = {};

  double best() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    std::size_t half = sorted.size() / 2;
    return sorted.size() % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
  double per_second(double seconds_taken) const { return static_cast<double>(tokens.size()) / seconds_taken; }
};

struct Limit {
  std::string_view name, unit;
  double value;  // per second, in the unit's multiples of 1e9
};

Limit limit_of(const Test& test, const Roofs& roofs, bool floats) {
  if (test.bound_by_memory) return {"memory read", "GB/s", roofs.read_bytes_per_second};
  if (floats) return {"float32", "GFLOP/s", roofs.float_ops_per_second};
  return {"int8", "Gop/s", roofs.int8_ops_per_second};
}

// Predicted seconds of all products of a step, from the costs that bench --fit learned, on the machine as it is now.
double predicted_seconds(const CostModel& costs, const Probe& machine, Engine& engine, const Options& options, i64 tokens) {
  Step step = products_of_step(engine.file(), static_cast<int>(options.bits), tokens, engine.threads().count(), chosen_isa());
  if (step.products.empty() || step.other_matrices > 0)
    fail(Fault::file, "{}: {} matrices are not packed in forms of ours, so that their cost is unknown", engine.file().path(),
         step.other_matrices);
  double seconds = 0;
  for (const CostModel::Estimate& e : costs.estimate(step.products, machine, engine.threads())) seconds += e.seconds;
  return seconds;
}

}  // namespace

int run_verb_bench(const Options& options) {
  if (options.kernels) return run_verb_bench_kernels(options);
  if (options.sweep) return run_verb_bench_sweep(options);
  if (!options.fit.empty()) return run_verb_bench_fit(options);
  if (options.bench_prompt + options.bench_predict == 0)
    throw Error(Fault::usage, "both tests are skipped (-p 0 -n 0)", "give one of them a length");
  Options loading = options;
  loading.context = std::max({options.context, options.bench_prompt, options.bench_predict});
  double start = now();
  std::unique_ptr<Engine> engine = load_engine(loading);
  double load_seconds = now() - start;
  const ModelShape& shape = engine->model().shape();

  std::vector<Test> tests;
  if (i64 n = options.bench_prompt; n > 0) {
    double steps = std::ceil(static_cast<double>(n) / static_cast<double>(options.chunk));
    tests.push_back({fmt::format("pp{}", n), some_tokens(n, shape.vocabulary), time_prefill,
                     2 * (shape.macs_per_token * static_cast<double>(n) + shape.head_macs),
                     static_cast<double>(shape.weight_bytes) * steps, false});
  }
  if (i64 n = options.bench_predict; n > 0)
    tests.push_back({fmt::format("tg{}", n), some_tokens(n, shape.vocabulary), time_decode,
                     2 * (shape.macs_per_token + shape.head_macs) * static_cast<double>(n),
                     static_cast<double>(shape.weight_bytes) * static_cast<double>(n), true});

  for (Test& test : tests)
    test.time(*engine, std::span(test.tokens).first(std::min<std::size_t>(test.tokens.size(), 512)));
  i64 resident = resident_memory();
  RoofMeter meter(chosen_isa(), engine->threads());
  Roofs roofs = meter.measure(0);
  for (i64 round = 0; round < options.repeats; round++) {
    for (Test& test : tests) test.seconds.push_back(test.time(*engine, test.tokens));
    roofs = meter.measure(0.05);
  }

  // What the learned costs say of the products alone; the rest (attention, norms) is not theirs.
  std::optional<CostModel> costs;
  Probe machine;
  if (options.cost) {
    costs = load_cost_model(cache_folder(), chosen_isa(), engine->threads().count());
    machine = costs->probe();
    ProbeWatch watch(chosen_isa(), engine->threads().count());
    for (int i = 0; i < 7; i++) watch.refresh(machine);
  }
  auto predicted = [&](const Test& test) {
    if (test.bound_by_memory) return predicted_seconds(*costs, machine, *engine, options, 1) * static_cast<double>(test.tokens.size());
    i64 all = static_cast<i64>(test.tokens.size()), full = all / options.chunk, rest = all % options.chunk;
    return (full > 0 ? static_cast<double>(full) * predicted_seconds(*costs, machine, *engine, options, options.chunk) : 0) +
           (rest > 0 ? predicted_seconds(*costs, machine, *engine, options, rest) : 0);
  };

  bool floats = options.form == "dense" || options.form == "stored_float";
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  std::string table =
      fmt::format("{:<8} {:>12} {:>10} {:>8} {:>8}   {}\n", "test", "tokens/s", "median", "GB/s", "share", "of");
  std::string numbers, text_of_costs, text_of_products;
  for (const Test& test : tests) {
    if (Refinement* refinement = engine->refinement()) {
      refinement->reset();
      test.time(*engine, test.tokens);
    }
    Limit limit = limit_of(test, roofs, floats);
    double share = (test.bound_by_memory ? test.bytes : test.ops) / test.best() / limit.value;
    double bytes_per_second = test.bytes / test.best();
    rows.push_back({{"test", test.name},
                    {"tokens_per_second", test.per_second(test.best())},
                    {"tokens_per_second_median", test.per_second(test.median())},
                    {"gb_per_second", bytes_per_second / 1e9},
                    {"gops", test.ops / test.best() / 1e9},
                    {"share_of_limit", share},
                    {"limit", limit.name},
                    {"limit_value", limit.value}});
    if (costs) rows.back()["predicted_product_seconds"] = predicted(test);
    if (Refinement* refinement = engine->refinement()) {
      rows.back()["products"] = products_json(*refinement);
      text_of_products += fmt::format("{}: {}", test.name, products_text(*refinement));
    }
    if (costs)
      text_of_costs += fmt::format("{}: learned costs say {:.3f} ms of products, of {:.3f} ms measured\n", test.name,
                                   1e3 * predicted(test), 1e3 * test.best());
    table += fmt::format("{:<8} {:>12.1f} {:>10.1f} {:>8.1f} {:>6.0f} %   {} of {:.0f} {}\n", test.name,
                         test.per_second(test.best()), test.per_second(test.median()), bytes_per_second / 1e9,
                         100 * share, limit.name, limit.value / 1e9, limit.unit);
    numbers += fmt::format("{}{:.2f}", numbers.empty() ? "" : " ", test.per_second(test.best()));
  }

  if (options.plain) return print(numbers + "\n"), 0;
  if (options.json) {
    print_json({{"model", engine->file().path()},
                {"architecture", shape.architecture},
                {"weights", shape.parameters},
                {"weight_bytes_per_token", shape.weight_bytes},
                {"load_seconds", load_seconds},
                {"resident_bytes", resident},
                {"rounds", options.repeats},
                {"rows", rows},
                {"machine", machine_json(roofs)}});
    return 0;
  }
  const CpuInfo& cpu = cpu_info();
  print(fmt::format(
      "{}: {}, {:.1f} M weights, {:.1f} MB read per token, loaded in {:.2f} s, {:.0f} MB resident\n"
      "{} (family {}, model {}), {} threads, {}; best and median of {} rounds\n\n{}",
      printable(engine->file().path(), 200), shape.architecture, static_cast<double>(shape.parameters) / 1e6,
      static_cast<double>(shape.weight_bytes) / 1e6, load_seconds, static_cast<double>(resident) / 1e6, cpu.name,
      cpu.family, cpu.model, roofs.threads, row_of(roofs.isa).name, options.repeats, table) +
        (costs ? "\n" + text_of_costs : "") + (text_of_products.empty() ? "" : "\n" + text_of_products));
  return 0;
}

}  // namespace bitkerf
