// Every form that holds a format, on one matrix: its result is compared with sums in double first, then it is timed
// against this machine's limits.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <random>

#include "compress/quantizers/round_to_nearest.h"
#include "core/error.h"
#include "forms/list.h"
#include "machine.h"
#include "measure/clock.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;

Shape parse_shape(const std::string& text) {
  Shape shape;
  const char* end = text.data() + text.size();
  auto rows = std::from_chars(text.data(), end, shape.rows);
  auto cols = rows.ptr < end && *rows.ptr == 'x' ? std::from_chars(rows.ptr + 1, end, shape.cols) : rows;
  if (rows.ec != std::errc() || cols.ec != std::errc() || cols.ptr != end || shape.rows < 1 || shape.cols < 1 ||
      shape.rows > 1 << 20 || shape.cols > 1 << 20 || shape.rows * shape.cols > i64{1} << 28)
    throw Error(Fault::usage, fmt::format("--shape: expected ROWSxCOLUMNS of at most 2^28 weights, not '{}'", text), "--shape 4096x4096");
  return shape;
}

// Largest error of the outputs that are looked at, in units of what rounding explains: a chain of cols + 4 sums of
// terms that are at most four times the row's largest weight. Above 1 is wrong.
double check(const PackedLinear& linear, Isa isa, Matrix<const float> x, Matrix<const float> y) {
  i64 tokens = std::min<i64>(x.rows, 3), cols = x.cols;
  OwnedMatrix<double> v(tokens, cols);
  decode_input(linear.input(), isa, x.sub_rows(0, tokens), v.view());
  OwnedMatrix<float> w(1, cols);
  double worst = 0;
  i64 step = std::max<i64>(1, linear.shape().rows / 97);
  for (i64 r = 0; r < linear.shape().rows; r += step) {
    linear.expand_stored(r, w.view());
    double top = 0;
    for (i64 c = 0; c < cols; c++) top = std::max(top, std::fabs(double{w(0, c)}));
    for (i64 t = 0; t < tokens; t++) {
      double sum = 0, size = 0;
      for (i64 c = 0; c < cols; c++) {
        sum += w(0, c) * v(t, c);
        size += (std::fabs(w(0, c)) + 4 * top) * std::fabs(v(t, c));
      }
      double bound = size * static_cast<double>(cols + 4) * 0x1p-24;
      worst = std::max(worst, std::fabs(sum - y(t, r)) / std::max(bound, 1e-30));
    }
  }
  return worst;
}

}  // namespace

int run_verb_bench_kernels(const Options& options) {
  Shape shape = parse_shape(options.shape);
  std::vector<std::string> formats;
  for (const FormatRow& row : number_formats())
    if (options.format.empty()) formats.emplace_back(row.name);
  if (!options.format.empty()) formats.push_back(options.format);

  Threads threads(thread_count(options.threads));
  Isa isa = chosen_isa();
  RoofMeter meter(isa, threads);
  Roofs roofs = meter.measure(0.2);

  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  OwnedMatrix<float> weights(shape.rows, shape.cols), x(options.tokens, shape.cols), y(options.tokens, shape.rows);
  for (i64 i = 0; i < shape.rows * shape.cols; i++) weights.view().data[i] = 0.02f * normal(random);
  for (i64 i = 0; i < options.tokens * shape.cols; i++) x.view().data[i] = normal(random);

  Json rows = Json::array();
  std::string table = fmt::format("{:<11} {:<9} {:<17} {:<13} {:>8} {:>8} {:>7}\n", "form", "kernel", "format", "input", "Gop/s", "GB/s", "share");
  bool wrong = false;
  for (const std::string& spec : formats) {
    NumberFormat format = parse_number_format(spec);
    Quantized quantized = round_to_nearest(weights.view(), format, scale_rules::largest, &threads);
    for (const FormRow& form : forms()) {
      if (!form.pack || !form.holds_format(format)) continue;
      const Encoding& input = options.activation.empty() ? usual_input(form, format) : encoding(options.activation);
      if (!takes(form, format, input)) continue;
      auto linear = form.pack(quantized, input, threads);
      KernelList list = linear->kernels(isa);
      for (const PanelKernels* kernels : list.all()) {
        if (!kernels->takes(options.tokens)) continue;
        Arena arena(linear->scratch(options.tokens));
        Context context{threads, arena, isa, kernels->name};
        linear->apply(x.view(), y.view(), context);
        double error = check(*linear, isa, x.view(), y.view());
        wrong |= !(error <= 1);
        double best = 1e9, start = now();
        for (int round = 0; round < 5 || now() - start < 0.2; round++) {
          double from = now();
          linear->apply(x.view(), y.view(), context);
          best = std::min(best, now() - from);
        }
        double ops = 2.0 * static_cast<double>(shape.rows * shape.cols * options.tokens) / best;
        double bytes = static_cast<double>(linear->bytes()) / best;
        double peak = input.bits == 0 ? roofs.float_ops_per_second : roofs.int8_ops_per_second;
        // The nearer of the two limits is the one that binds.
        double share = std::max(ops / peak, bytes / roofs.read_bytes_per_second);
        rows.push_back({{"kernel", fmt::format("{}/{}/{}", form.name, kernels->name, row_of(isa).name)}, {"form", form.name},
                        {"format", format.name}, {"activation", input.name}, {"shape", fmt::format("{}x{}", shape.rows, shape.cols)},
                        {"tokens", options.tokens}, {"threads", threads.count()}, {"gops", ops / 1e9}, {"gb_per_second", bytes / 1e9},
                        {"share_of_limit", share}, {"error_of_bound", error}, {"chosen", kernels == &linear->choose(isa, options.tokens)}});
        table += fmt::format("{:<11} {:<9} {:<17} {:<13} {:>8.1f} {:>8.1f} {:>5.0f} %{}\n", form.name, kernels->name, format.name, input.name,
                             ops / 1e9, bytes / 1e9, 100 * share, error <= 1 ? "" : "   WRONG");
      }
    }
  }
  if (options.json) {
    print_json({{"rows", rows}, {"machine", machine_json(roofs)}});
  } else {
    print(fmt::format("{}x{}, {} tokens, {} threads, {}: int8 {:.0f} Gop/s, float32 {:.0f} GFLOP/s, memory {:.1f} GB/s\n\n{}", shape.rows,
                      shape.cols, options.tokens, threads.count(), row_of(isa).name, roofs.int8_ops_per_second / 1e9,
                      roofs.float_ops_per_second / 1e9, roofs.read_bytes_per_second / 1e9, table));
  }
  if (wrong) fail(Fault::run_time, "a kernel's result is outside its bound");
  return 0;
}

}  // namespace bitkerf
