#include "verify/guarded.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <new>
#include <vector>

#include "core/check.h"

namespace bitkerf {
namespace {

i64 page() {
  static const i64 kPage = sysconf(_SC_PAGESIZE);
  return kPage;
}

thread_local sigjmp_buf* landing = nullptr;
struct sigaction before;

void on_fault(int signal, siginfo_t*, void*) {
  if (landing) siglongjmp(*landing, 1);
  sigaction(signal, &before, nullptr);  // not ours: happens again, with what was installed before us
}

// Mappings of a size that nobody uses now: making them is a third of the time of short tests.
class Unused {
 public:
  std::byte* take(i64 bytes) {
    std::vector<std::byte*>& maps = by_bytes_[bytes];
    if (maps.empty()) return nullptr;
    std::byte* map = maps.back();
    maps.pop_back();
    return map;
  }
  bool keep(std::byte* map, i64 bytes) {
    std::vector<std::byte*>& maps = by_bytes_[bytes];
    if (bytes > kMostBytes || maps.size() >= kMost) return false;
    maps.push_back(map);
    return true;
  }
  ~Unused() {
    for (auto& [bytes, maps] : by_bytes_)
      for (std::byte* map : maps) munmap(map, static_cast<std::size_t>(bytes));
  }

 private:
  static constexpr i64 kMostBytes = i64{1} << 20;
  static constexpr std::size_t kMost = 8;
  std::map<i64, std::vector<std::byte*>> by_bytes_;
};
thread_local Unused unused;

}  // namespace

Guarded::Guarded(i64 bytes, i64 alignment, Edge edge, i64 readable_behind) : bytes_(bytes) {
  CHECK_EQ(page() % alignment, 0);
  i64 inside = round_up(std::max<i64>(bytes + readable_behind, 1), page());
  map_bytes_ = inside + 2 * page();
  map_ = unused.take(map_bytes_);
  if (!map_) {
    void* map = mmap(nullptr, static_cast<std::size_t>(map_bytes_), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) throw std::bad_alloc();
    map_ = static_cast<std::byte*>(map);
    if (mprotect(map_ + page(), static_cast<std::size_t>(inside), PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  }
  std::byte* first = map_ + page();
  std::memset(first, 0xff, static_cast<std::size_t>(inside));
  data_ = edge == Edge::front ? first : first + (inside - readable_behind - bytes) / alignment * alignment;
}

Guarded::~Guarded() {
  if (map_ && !unused.keep(map_, map_bytes_)) munmap(map_, static_cast<std::size_t>(map_bytes_));
}

bool Guarded::intact() const {
  const std::byte* end = map_ + map_bytes_ - page();
  auto untouched = [](const std::byte* from, const std::byte* to) {
    return std::all_of(from, to, [](std::byte b) { return b == std::byte{0xff}; });
  };
  return untouched(map_ + page(), data_) && untouched(data_ + bytes_, end);
}

bool survives(const std::function<void()>& body) {
  sigjmp_buf here;
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  struct sigaction old;
  sigaction(SIGSEGV, &action, &old);
  if (!landing) before = old;
  sigjmp_buf* outer = landing;
  volatile bool done = false;
  if (sigsetjmp(here, 1) == 0) {
    landing = &here;
    body();
    done = true;
  }
  landing = outer;
  sigaction(SIGSEGV, &old, nullptr);
  return done;
}

}  // namespace bitkerf
