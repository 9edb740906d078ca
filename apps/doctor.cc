// What a bug report needs: the processor, the paths that are chosen on it, and its measured limits.
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "forms/list.h"
#include "machine.h"
#include "measure/probe.h"
#include "models/list.h"
#include "output.h"
#include "verbs.h"

namespace bitkerf {
namespace {

std::string list_of_isas(Isa chosen) {
  std::string text;
  for (const IsaRow& row : isas())
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", row.name,
                        row.isa == chosen ? " (chosen)"
                        : runs(row.isa)   ? ""
                                          : " (not here: needs " + std::string(row.needs) + ")");
  return text;
}

// The names in one of the program's tables.
template <class Rows>
std::vector<std::string_view> names_of(const Rows& rows) {
  std::vector<std::string_view> names;
  for (const auto& row : rows) names.push_back(row.name);
  return names;
}

struct Scale { std::string_view unit, shown; double factor; };
constexpr Scale kScales[] = {{"B/s", "GB/s", 1e-9}, {"op/s", "Gop/s", 1e-9}, {"w/s", "Gweights/s", 1e-9},
                             {"Hz", "GHz", 1e-9}, {"s", "ns", 1e9}};

nlohmann::ordered_json probe_json(const Probe& probe) {
  nlohmann::ordered_json figures = nlohmann::ordered_json::array();
  for (const Figure& f : probe.figures)
    figures.push_back({{"name", f.name}, {"unit", f.unit}, {"threads", f.threads}, {"value", f.value}, {"spread", f.spread}});
  return {{"machine", probe.machine}, {"isa", row_of(probe.isa).name}, {"threads", probe.threads},
          {"measured_at", probe.measured_at}, {"key", probe_key(probe.isa, probe.threads)}, {"figures", figures}};
}

// A row per figure, a column per number of threads, and what one thread does in a cycle of the clock under load.
std::string probe_text(const Probe& probe) {
  std::vector<int> threads;
  std::vector<std::string_view> names;
  auto add_new = [](auto& list, auto value) {
    if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
  };
  for (const Figure& f : probe.figures) add_new(threads, f.threads), add_new(names, std::string_view(f.name));
  std::string text = fmt::format("{}\n{}, upper quartile of the rounds (+- the median's distance from it)\n\n{:<24}", probe.machine,
                                 row_of(probe.isa).name, "");
  for (int count : threads) text += fmt::format("{:>24}", fmt::format("{} thread{}", count, count == 1 ? "" : "s"));
  text += fmt::format("{:>12}\n", "a cycle");
  double clock = probe.value("clock_under_load", 1);
  for (std::string_view name : names) {
    std::string line = fmt::format("{:<24}", name);
    std::string_view unit;
    for (int count : threads) {
      std::string cell;
      for (const Figure& f : probe.figures) {
        if (f.name != name || f.threads != count) continue;
        for (const Scale& scale : kScales)
          if (scale.unit == f.unit) cell = fmt::format("{:.2f} +- {:.1f} %", f.value * scale.factor, 100 * f.spread), unit = scale.shown;
      }
      line += fmt::format("{:>24}", cell);
    }
    bool per_cycle = unit.ends_with("/s") && clock > 0;
    text += fmt::format("{}{:>12}   {}\n", line, per_cycle ? fmt::format("{:.1f}", probe.value(name, 1) / clock) : "", unit);
  }
  return text;
}

int show_probe(const Options& options) {
  Probe probe = load_probe(cache_folder(), chosen_isa(), thread_count(options.threads), options.again);
  if (options.json) print_json(probe_json(probe));
  else print(probe_text(probe));
  return 0;
}

}  // namespace

int run_verb_doctor(const Options& options) {
  if (options.probe || options.again) return show_probe(options);
  Isa isa = chosen_isa();
  Threads threads(thread_count(options.threads));
  RoofMeter meter(isa, threads);
  Roofs roofs = meter.measure(0.5);
  const CpuInfo& cpu = cpu_info();
  struct sysinfo memory {};
  sysinfo(&memory);
  i64 total = static_cast<i64>(memory.totalram) * static_cast<i64>(memory.mem_unit);
  struct utsname system {};
  uname(&system);

  if (options.json) {
    nlohmann::ordered_json report = {
        {"version", BITKERF_VERSION},     {"system", fmt::format("{} {}", system.sysname, system.release)},
        {"memory_bytes", total},          {"available_bytes", available_memory()},
        {"cache_folder", cache_folder()}, {"architectures", names_of(architectures())},
        {"forms", names_of(forms())},     {"machine", machine_json(roofs)}};
    print_json(report);
    return 0;
  }
  std::string text;
  auto line = [&](std::string_view name, const std::string& value) { text += fmt::format("{:<14} {}\n", name, value); };
  line("bitkerf", BITKERF_VERSION);
  line("system", fmt::format("{} {}, {:.1f} GB memory, {:.1f} GB of it free", system.sysname, system.release,
                             total / 1e9, available_memory() / 1e9));
  line("processor", fmt::format("{} (family {}, model {}, stepping {}), {} cores", cpu.name, cpu.family, cpu.model,
                                cpu.stepping, cpu.cores));
  line("features", cpu.features);
  line("caches", fmt::format("{} KiB L1d and {} KiB L2 per core, {} MiB L3", cpu.l1_bytes >> 10, cpu.l2_bytes >> 10,
                             cpu.l3_bytes >> 20));
  line("paths", list_of_isas(isa));
  line("forms", fmt::format("{}", fmt::join(names_of(forms()), ", ")));
  line("models", fmt::format("{}", fmt::join(names_of(architectures()), ", ")));
  line("cache folder", cache_folder() + (std::filesystem::exists(cache_folder()) ? "" : " (not there yet)"));
  text += fmt::format("\nmeasured limits with {} threads, path {}:\n", roofs.threads, row_of(isa).name);
  line("  memory read", fmt::format("{:.1f} GB/s", roofs.read_bytes_per_second / 1e9));
  if (roofs.cache_bytes_per_second > 0)
    line("  L3 read", fmt::format("{:.1f} GB/s", roofs.cache_bytes_per_second / 1e9));
  line("  int8", fmt::format("{:.0f} Gop/s", roofs.int8_ops_per_second / 1e9));
  line("  float32", fmt::format("{:.0f} GFLOP/s", roofs.float_ops_per_second / 1e9));
  print(text);
  return 0;
}

}  // namespace bitkerf
