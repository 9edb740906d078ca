#include "core/buffer.h"

#include <cstring>

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

}  // namespace bitkerf
