#include "core/buffer.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include <sys/mman.h>

namespace bitkerf {

void* allocate_aligned(std::size_t bytes, bool zeroed) {
  constexpr std::size_t kHugePage = 2 << 20;
  std::size_t padded = bytes + kAlignment;
  // Big arrays start on a huge-page boundary and ask for huge pages: weights are read front to back, and 4 KiB
  // pages cost a TLB miss each. Fresh pages from the system are zero already; malloc may hand back used ones.
  std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  void* p = std::aligned_alloc(alignment, round_up(padded, alignment));
  if (!p) throw std::bad_alloc();
  if (alignment == kHugePage) madvise(p, round_up(padded, alignment), MADV_HUGEPAGE);
  if (zeroed) std::memset(p, 0, padded);
  return p;
}

i64 available_memory() {
  i64 bytes = 0;
  std::ifstream lines("/proc/meminfo");
  std::string name;
  for (i64 kib = 0; lines >> name >> kib; lines.ignore(100, '\n'))
    if (name == "MemAvailable:") bytes = kib * 1024;
  // A container may have less; "max" is no number.
  i64 limit = 0, used = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit && std::ifstream("/sys/fs/cgroup/memory.current") >> used)
    bytes = std::min(bytes, std::max<i64>(limit - used, 0));
  return bytes;
}

}  // namespace bitkerf
