// The machine as reports show it: every speed is printed with the processor and its measured limits.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "measure/roofs.h"

namespace bitkerf {

nlohmann::ordered_json machine_json(const Roofs& roofs);
// Where models are kept: $BITKERF_CACHE, or ~/.cache/bitkerf.
std::string cache_folder();
// `threads` as given; 0: the cores that this process may use.
int thread_count(i64 threads);
i64 resident_memory();   // bytes of this process in memory now

}  // namespace bitkerf
