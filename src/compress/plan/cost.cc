#include "compress/plan/cost.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/cpu.h"
#include "core/error.h"

namespace bitkerf {
namespace {

// What a kernel spends its time on: its name's last part, the probe's figure, and whether it multiplies plane by plane.
struct Arithmetic {
  std::string_view kernel, rate;
  bool by_planes;
};
constexpr Arithmetic kArithmetic[] = {
    {"popcount", "rate.binary_dot", true},
};

std::string_view last_part(std::string_view kernel) { return kernel.substr(kernel.rfind('/') + 1); }

double op_seconds(const Work& w, const Probe& probe) {
  double ops = 2.0 * static_cast<double>(w.rows) * static_cast<double>(w.cols) * static_cast<double>(w.tokens);
  std::string_view rate = w.activation_bits == 32 ? "rate.f32_fma" : "rate.int8_dot";
  for (const Arithmetic& row : kArithmetic)
    if (row.kernel == last_part(w.kernel)) {
      rate = row.rate;
      if (row.by_planes) ops *= w.weight_bits * w.activation_bits;
    }
  return ops / std::max(probe.value(rate, w.threads), 1.0);
}

// Besides: tables of pairs and of eights are looked up while weights come in, and that hides only a part of it. Bytes permuted per
// weight, from decode of SmolLM2 in 40 and 64 MiB beside its codes of single weights (EPYC of family 26, 2 threads).
struct Lookups {
  std::string_view rate;
  double pairs, patterns;
};
constexpr Lookups kLookups[] = {{"rate.byte_permute", 1.2, 4}, {"rate.byte_shuffle", 4.5, 40}};
double table_seconds(const Work& w, const Probe& probe) {
  if (last_part(w.kernel) != "table") return 0;
  for (const Lookups& row : kLookups)
    if (const double rate = probe.value(row.rate, w.threads); rate > 0)
      return (w.weight_bits > 8 ? row.patterns : row.pairs) * static_cast<double>(w.rows) * static_cast<double>(w.cols) / rate;
  return 0;
}

// The nearest level of memory that holds the weights between two uses.
double byte_seconds(const Work& w, const Probe& probe) {
  const CpuInfo& cpu = cpu_info();
  std::string_view level = "read.memory";
  if (!w.cold && cpu.l2_bytes > 0 && w.bytes / w.threads <= 0.75 * static_cast<double>(cpu.l2_bytes)) level = "read.l2";
  else if (!w.cold && cpu.l3_bytes > 0 && w.bytes <= 0.75 * static_cast<double>(cpu.l3_bytes)) level = "read.l3";
  double speed = probe.value(level, w.threads);
  if (speed == 0) speed = probe.value("read.memory", w.threads);
  return w.bytes / std::max(speed, 1.0);
}

float log2f_of(double v) { return static_cast<float>(std::log2(std::max(v, 1e-12))); }

// How full the last of equal parts is, over all of them: 1 when `part` divides `whole`.
float tail(i64 whole, i64 part) { return static_cast<float>(static_cast<double>(whole) / static_cast<double>(round_up(whole, part))); }

constexpr i64 kPanel = 32, kPass = 1024;  // of the framework (forms/packed.h), as far as a cost depends on it

constexpr std::uint32_t kMagic = 0x31434b42;  // "BKC1"

}  // namespace

double roofline_seconds(const Work& w, const Probe& probe) {
  double join = w.threads > 1 ? probe.value("join", w.threads) : 0;
  // A call and the input's encoding: without them the smallest products would stay hundreds of times above their bound.
  constexpr double kCall = 2e-7;
  double encode = static_cast<double>(w.tokens * w.cols) * 4 / std::max(probe.value("read.l2", 1), 1e9);
  return std::max(op_seconds(w, probe), byte_seconds(w, probe)) + table_seconds(w, probe) + join + kCall + encode;
}

OwnedMatrix<float> CostModel::features(std::span<const Work> works) const {
  OwnedMatrix<float> matrix(static_cast<i64>(works.size()), static_cast<i64>(kCostFeatures.size()));
  const CpuInfo& cpu = cpu_info();
  for (std::size_t i = 0; i < works.size(); i++) {
    const Work& w = works[i];
    auto kernel = std::lower_bound(kernels_.begin(), kernels_.end(), w.kernel) - kernels_.begin();
    double weights = static_cast<double>(w.rows) * static_cast<double>(w.cols), ops = 2 * weights * static_cast<double>(w.tokens);
    i64 panels = ceil_div(w.rows, kPanel);
    const float row[] = {
        static_cast<float>(kernel),
        static_cast<float>(w.weight_bits),
        static_cast<float>(w.activation_bits),
        log2f_of(static_cast<double>(w.weight_group)),
        log2f_of(static_cast<double>(w.activation_group)),
        w.has_minimum ? 1.0f : 0.0f,
        static_cast<float>(8 * w.bytes / weights),
        log2f_of(static_cast<double>(w.rows)),
        log2f_of(static_cast<double>(w.cols)),
        log2f_of(static_cast<double>(w.tokens)),
        static_cast<float>(w.threads),
        log2f_of(ops),
        log2f_of(ops / w.bytes),
        log2f_of(w.bytes / w.threads / static_cast<double>(std::max<i64>(cpu.l2_bytes, 1))),
        log2f_of(w.bytes / static_cast<double>(std::max<i64>(cpu.l3_bytes, 1))),
        tail(w.rows, kPanel) * tail(panels, w.threads),
        tail(w.tokens, w.tile_tokens),
        tail(w.cols, kPass),
        w.cold ? 1.0f : 0.0f,
        log2f_of(roofline_seconds(w, probe_)),
    };
    static_assert(std::size(row) == kCostFeatures.size());
    std::copy(std::begin(row), std::end(row), matrix.view().row(static_cast<i64>(i)));
  }
  return matrix;
}

CostModel CostModel::train(std::span<const TimedWork> measured, const Probe& probe, const ForestOptions& options, Threads& threads) {
  CHECK_GE(static_cast<i64>(measured.size()), 1);
  CostModel model;
  model.probe_ = probe;
  std::vector<Work> works;
  std::vector<float> target;
  for (const TimedWork& row : measured) {
    works.push_back(row.work);
    model.kernels_.push_back(row.work.kernel);
    target.push_back(static_cast<float>(std::log(row.seconds / roofline_seconds(row.work, probe))));
  }
  std::sort(model.kernels_.begin(), model.kernels_.end());
  model.kernels_.erase(std::unique(model.kernels_.begin(), model.kernels_.end()), model.kernels_.end());
  OwnedMatrix<float> x = model.features(works);
  model.forest_ = Forest::train(x.view(), target, options, threads);
  return model;
}

std::vector<CostModel::Estimate> CostModel::estimate(std::span<const Work> works, Threads& threads) const {
  OwnedMatrix<float> x = features(works);
  std::vector<Prediction> predictions(works.size());
  forest_.predict(x.view(), predictions, threads);
  std::vector<Estimate> estimates;
  for (std::size_t i = 0; i < works.size(); i++)
    estimates.push_back({roofline_seconds(works[i], probe_) * std::exp(double{predictions[i].mean}), std::exp(double{predictions[i].spread})});
  return estimates;
}

std::vector<CostModel::Estimate> CostModel::estimate(std::span<const Work> works, const Probe& now, Threads& threads) const {
  std::vector<Estimate> estimates = estimate(works, threads);
  for (std::size_t i = 0; i < works.size(); i++)
    estimates[i].seconds *= roofline_seconds(works[i], now) / roofline_seconds(works[i], probe_);
  return estimates;
}

bool CostModel::knows(std::string_view kernel) const { return std::binary_search(kernels_.begin(), kernels_.end(), kernel); }

// Magic; the probe's text, the kernels' names one a line, and the forest, each behind its length.
std::string CostModel::to_bytes() const {
  std::string names;
  for (const std::string& kernel : kernels_) names += kernel + "\n";
  std::string bytes(reinterpret_cast<const char*>(&kMagic), sizeof kMagic);
  for (const std::string& part : {to_text(probe_), names, forest_.to_bytes()}) {
    auto size = static_cast<std::uint64_t>(part.size());
    bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
    bytes += part;
  }
  return bytes;
}

CostModel CostModel::from_bytes(std::string_view bytes) {
  auto take = [&](std::uint64_t count) {
    if (count > bytes.size()) fail(Fault::file, "cost model: ends in the middle");
    std::string_view part = bytes.substr(0, count);
    bytes.remove_prefix(count);
    return part;
  };
  if (std::uint32_t magic; std::memcpy(&magic, take(sizeof magic).data(), sizeof magic), magic != kMagic)
    fail(Fault::file, "cost model: the head is wrong");
  auto part = [&] {
    std::uint64_t size = 0;
    std::memcpy(&size, take(sizeof size).data(), sizeof size);
    return take(size);
  };
  CostModel model;
  model.probe_ = probe_from_text(std::string(part()));
  for (std::string_view names = part(); !names.empty();) {
    std::size_t end = names.find('\n');
    if (end == names.npos) fail(Fault::file, "cost model: the kernels' names are damaged");
    model.kernels_.emplace_back(names.substr(0, end));
    names.remove_prefix(end + 1);
  }
  model.forest_ = Forest::from_bytes(part());
  if (model.forest_.features() != static_cast<int>(kCostFeatures.size()) || !bytes.empty() ||
      !std::is_sorted(model.kernels_.begin(), model.kernels_.end()))
    fail(Fault::file, "cost model: made by another version");
  return model;
}

std::string cost_model_path(const std::string& folder, Isa isa, int threads) {
  return folder + "/" + probe_key(isa, threads) + ".cost";
}

CostModel load_cost_model(const std::string& folder, Isa isa, int threads) {
  std::string path = cost_model_path(folder, isa, threads);
  std::ifstream in(path, std::ios::binary);
  if (!in)
    throw Error(Fault::file, path + ": there are no learned costs of this machine",
                "bitkerf bench --sweep -o sweep.csv, then bitkerf bench --fit sweep.csv");
  std::ostringstream bytes;
  bytes << in.rdbuf();
  CostModel model = CostModel::from_bytes(bytes.view());
  if (model.probe().machine != probe_machine()) fail(Fault::file, "{}: made on another machine", path);
  return model;
}

}  // namespace bitkerf
