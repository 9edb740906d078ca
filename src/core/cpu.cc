#include "core/cpu.h"

#include <cpuid.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/error.h"

namespace bitkerf {
namespace {

constexpr IsaRow kIsas[] = {
    {Isa::portable, "portable", "nothing"},
    {Isa::avx2, "avx2", "AVX2, FMA, F16C"},
    {Isa::avx512, "avx512", "AVX-512 F, BW, VL, DQ, VNNI, VBMI, VPOPCNTDQ, and GFNI (Ice Lake, Zen 4 and later)"},
};

struct Feature {
  const char* name;
  bool present;
};

// Not a name that clang 14's __builtin_cpu_supports knows; F16C's registers are AVX's.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __builtin_cpu_supports("avx") > 0 && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

// __builtin_cpu_supports also asks whether the system saves the registers.
std::span<const Feature> features() {
  static const Feature list[] = {
      {"avx2", __builtin_cpu_supports("avx2") > 0},
      {"fma", __builtin_cpu_supports("fma") > 0},
      {"f16c", has_f16c()},
      {"avx512f", __builtin_cpu_supports("avx512f") > 0},
      {"avx512bw", __builtin_cpu_supports("avx512bw") > 0},
      {"avx512vl", __builtin_cpu_supports("avx512vl") > 0},
      {"avx512dq", __builtin_cpu_supports("avx512dq") > 0},
      {"avx512vnni", __builtin_cpu_supports("avx512vnni") > 0},
      {"avx512vbmi", __builtin_cpu_supports("avx512vbmi") > 0},
      {"avx512vbmi2", __builtin_cpu_supports("avx512vbmi2") > 0},
      {"avx512bf16", __builtin_cpu_supports("avx512bf16") > 0},
      {"avx512vpopcntdq", __builtin_cpu_supports("avx512vpopcntdq") > 0},
      {"gfni", __builtin_cpu_supports("gfni") > 0},
  };
  return list;
}

bool has(std::string_view name) {
  for (const Feature& f : features())
    if (name == f.name) return f.present;
  return false;
}

// What the system shows for one core: sysconf asks CPUID, which may add up the caches of all dies of the package.
i64 l3_of_this_core() {
  long kib = 0;
  if (std::FILE* file = std::fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r")) {
    if (std::fscanf(file, "%ldK", &kib) != 1) kib = 0;
    std::fclose(file);
  }
  return kib > 0 ? i64{kib} << 10 : std::max(0L, sysconf(_SC_LEVEL3_CACHE_SIZE));
}

CpuInfo read_cpu_info() {
  CpuInfo info;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d)) {
    int base = (a >> 8) & 15;
    info.family = base == 15 ? base + static_cast<int>((a >> 20) & 255) : base;
    info.model = static_cast<int>(((a >> 4) & 15) | ((a >> 12) & 0xf0));
    info.stepping = static_cast<int>(a & 15);
  }
  char brand[49] = {};
  for (unsigned i = 0; i < 3; i++) {
    unsigned r[4];
    if (!__get_cpuid(0x80000002 + i, &r[0], &r[1], &r[2], &r[3])) break;
    std::memcpy(brand + 16 * i, r, 16);
  }
  info.name = brand;
  while (!info.name.empty() && info.name.back() == ' ') info.name.pop_back();
  for (const Feature& f : features())
    if (f.present) info.features += (info.features.empty() ? "" : " ") + std::string(f.name);
  info.l1_bytes = std::max(0L, sysconf(_SC_LEVEL1_DCACHE_SIZE));
  info.l2_bytes = std::max(0L, sysconf(_SC_LEVEL2_CACHE_SIZE));
  info.l3_bytes = l3_of_this_core();
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) info.cores = CPU_COUNT(&set);
  return info;
}

}  // namespace

std::span<const IsaRow> isas() { return kIsas; }
const IsaRow& row_of(Isa isa) { return kIsas[static_cast<int>(isa)]; }

bool runs(Isa isa) {
  bool avx2 = has("avx2") && has("fma") && has("f16c");
  if (isa == Isa::portable) return true;
  if (isa == Isa::avx2) return avx2;
  return avx2 && has("avx512f") && has("avx512bw") && has("avx512vl") && has("avx512dq") && has("avx512vnni") &&
         has("avx512vbmi") && has("avx512vpopcntdq") && has("gfni");
}

Isa chosen_isa() {
  if (const char* name = std::getenv("BITKERF_ISA"); name && *name) {
    for (const IsaRow& row : kIsas) {
      if (row.name != name) continue;
      if (!runs(row.isa)) fail(Fault::usage, "BITKERF_ISA={}: this processor lacks {}", name, row.needs);
      return row.isa;
    }
    fail(Fault::usage, "BITKERF_ISA={}: expected portable, avx2 or avx512", name);
  }
  Isa best = Isa::portable;
  for (const IsaRow& row : kIsas)
    if (runs(row.isa)) best = row.isa;
  return best;
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = read_cpu_info();
  return info;
}

}  // namespace bitkerf
