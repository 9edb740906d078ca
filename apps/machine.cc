#include "machine.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace bitkerf {

std::string cache_folder() {
  if (const char* folder = std::getenv("BITKERF_CACHE"); folder && *folder) return folder;
  const char* home = std::getenv("HOME");
  return std::string(home && *home ? home : "/tmp") + "/.cache/bitkerf";
}

int thread_count(i64 threads) { return threads > 0 ? static_cast<int>(threads) : std::clamp(cpu_info().cores, 1, kMaxThreads); }

i64 resident_memory() {
  i64 all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

nlohmann::ordered_json machine_json(const Roofs& roofs) {
  const CpuInfo& cpu = cpu_info();
  return {{"cpu", cpu.name},
          {"family", cpu.family},
          {"model", cpu.model},
          {"stepping", cpu.stepping},
          {"features", cpu.features},
          {"cores", cpu.cores},
          {"l1_bytes", cpu.l1_bytes},
          {"l2_bytes", cpu.l2_bytes},
          {"l3_bytes", cpu.l3_bytes},
          {"isa", row_of(roofs.isa).name},
          {"threads", roofs.threads},
          {"read_bytes_per_second", roofs.read_bytes_per_second},
          {"cache_bytes_per_second", roofs.cache_bytes_per_second},
          {"int8_ops_per_second", roofs.int8_ops_per_second},
          {"float_ops_per_second", roofs.float_ops_per_second}};
}

}  // namespace bitkerf
