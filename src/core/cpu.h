// What this processor can do, and which of our instruction-set paths runs on it.
#pragma once

#include <span>
#include <string>
#include <algorithm>
#include <string_view>

#include "core/view.h"

namespace bitkerf {

// The paths that kernels are written for, from the slowest to the fastest. A path runs where every feature
// that it needs is there; kernels exist at least for `portable`.
enum class Isa { portable, avx2, avx512 };

struct IsaRow {
  Isa isa;
  std::string_view name;
  std::string_view needs;  // for people; the check is in cpu.cc
};
std::span<const IsaRow> isas();
const IsaRow& row_of(Isa isa);
bool runs(Isa isa);  // on this processor

// The best path of this processor, or the one that the environment variable BITKERF_ISA names (an unknown name or
// one that this processor cannot run is Fault::usage).
Isa chosen_isa();

struct CpuInfo {
  std::string name;                       // brand string
  int family = 0, model = 0, stepping = 0;
  std::string features;                   // those that matter here, separated by spaces
  i64 l1_bytes = 0, l2_bytes = 0, l3_bytes = 0;  // data; per core, per core, shared. 0 when unknown
  int cores = 1;                          // that this process may use
};
const CpuInfo& cpu_info();

}  // namespace bitkerf
