#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "measure/probe.h"

namespace bitkerf {
namespace {

using Json = nlohmann::ordered_json;
// Raised when figures are measured in another way: older files then count as none.
constexpr int kVersion = 1;

// FNV-1a: the same on every machine and compiler, unlike std::hash.
std::uint64_t hash(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (unsigned char c : text) h = (h ^ c) * 0x100000001b3;
  return h;
}

Isa isa_of(const std::string& name) {
  for (const IsaRow& row : isas())
    if (row.name == name) return row.isa;
  fail(Fault::file, "probe: unknown path '{}'", name);
}

// Replaces the file at once, so that nobody reads half of it.
void keep(const std::filesystem::path& path, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  std::filesystem::path part = path;
  part += ".part";
  if (std::ofstream out(part); !(out << text) || !out.flush()) return;
  std::filesystem::rename(part, path, error);
}

}  // namespace

std::string probe_machine() {
  const CpuInfo& cpu = cpu_info();
  return fmt::format("{}, family {}, model {}, stepping {}, {}, caches {} {} {}", cpu.name, cpu.family, cpu.model, cpu.stepping,
                     cpu.features, cpu.l1_bytes, cpu.l2_bytes, cpu.l3_bytes);
}

std::string probe_key(Isa isa, int threads) {
  return fmt::format("machine-{:016x}-{}-t{}", hash(probe_machine()), row_of(isa).name, threads);
}

std::string to_text(const Probe& probe) {
  Json figures = Json::array();
  for (const Figure& f : probe.figures)
    figures.push_back({{"name", f.name}, {"unit", f.unit}, {"threads", f.threads}, {"value", f.value}, {"spread", f.spread}});
  return Json{{"version", kVersion},         {"machine", probe.machine},         {"isa", row_of(probe.isa).name},
              {"threads", probe.threads},    {"measured_at", probe.measured_at}, {"figures", figures}}
             .dump(1) + "\n";
}

Probe probe_from_text(const std::string& text) {
  try {
    Json json = Json::parse(text);
    if (json.at("version").get<int>() != kVersion) fail(Fault::file, "probe: version {}, expected {}", json.at("version").get<int>(), kVersion);
    Probe probe{json.at("machine").get<std::string>(), isa_of(json.at("isa").get<std::string>()), json.at("threads").get<int>(),
                json.at("measured_at").get<std::int64_t>(), {}};
    for (const Json& f : json.at("figures")) {
      probe.figures.push_back({f.at("name").get<std::string>(), f.at("unit").get<std::string>(), f.at("threads").get<int>(),
                               f.at("value").get<double>(), f.at("spread").get<double>()});
      if (!(probe.figures.back().value > 0) || !std::isfinite(probe.figures.back().value))
        fail(Fault::file, "probe: figure {} is {}, expected a positive number", probe.figures.back().name, probe.figures.back().value);
    }
    return probe;
  } catch (const Json::exception& e) {
    fail(Fault::file, "probe: {}", e.what());
  }
}

Probe load_probe(const std::string& folder, Isa isa, int threads, bool again, double seconds) {
  std::filesystem::path path = std::filesystem::path(folder) / (probe_key(isa, threads) + ".json");
  if (std::ifstream in(path); in && !again) {
    std::ostringstream text;
    text << in.rdbuf();
    try {
      Probe probe = probe_from_text(text.str());
      if (probe.machine == probe_machine() && probe.isa == isa && probe.threads == threads) return probe;
    } catch (const Error&) {
      // Measured anew below.
    }
  }
  Probe probe = measure_probe(isa, threads, seconds);
  keep(path, to_text(probe));
  return probe;
}

}  // namespace bitkerf
