// Time as measurements take it.
#pragma once

#include <chrono>

namespace bitkerf {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace bitkerf
