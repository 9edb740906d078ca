#include "files/mapped_file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/error.h"

namespace bitkerf {
namespace {

// What a signal handler can look at: the ranges mapped now. A global, as handlers have no arguments; fixed and
// atomic, as they may run at any moment. Maps beyond the last slot are not named in the message, nothing worse.
struct Slot {
  std::atomic<bool> used{false};
  std::atomic<const std::byte*> first{nullptr}, last{nullptr};
  char path[256];
};
constexpr int kSlots = 256;
Slot slots[kSlots];

int take_slot(const std::string& path, const std::byte* data, i64 size) {
  for (int i = 0; i < kSlots; i++) {
    if (slots[i].used.exchange(true)) continue;
    std::strncpy(slots[i].path, path.c_str(), sizeof slots[i].path - 1);
    slots[i].last = data + size;
    slots[i].first = data;
    return i;
  }
  return -1;
}

iovec piece(const char* text) { return {const_cast<char*>(text), std::strlen(text)}; }

void on_bus_error(int signal, siginfo_t* info, void*) {
  const std::byte* address = static_cast<const std::byte*>(info->si_addr);
  for (Slot& slot : slots) {
    const std::byte* first = slot.first;
    if (!first || address < first || address >= slot.last) continue;
    // One call, so that the line comes in one piece.
    iovec parts[] = {piece("error: "), piece(slot.path),
                     piece(": a part of the file can no longer be read; was it cut or replaced while in use?\n")};
    if (writev(STDERR_FILENO, parts, std::size(parts)) < 0) {}  // nobody is left to tell
    _exit(row_of(Fault::file).exit_code);
  }
  // Not ours: die as without this handler.
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

std::string reason() { return std::generic_category().message(errno); }

constexpr std::size_t kHugePage = 2 << 20;

// Address space for so many bytes, from a multiple of kHugePage on; null when there is none. No memory before it is touched.
std::byte* anonymous(std::size_t bytes) {
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  bytes = round_up(bytes, page);
  void* p = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  std::byte* all = static_cast<std::byte*>(p);
  std::byte* first = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uintptr_t>(all), kHugePage));
  if (first > all) munmap(all, static_cast<std::size_t>(first - all));
  if (std::byte* end = first + bytes; end < all + bytes + kHugePage) munmap(end, static_cast<std::size_t>(all + bytes + kHugePage - end));
  return first;
}

}  // namespace

void guard_mapped_files() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGBUS, &action, nullptr);
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) fail(Fault::file, "{}: cannot be opened: {}", path, reason());
  struct stat info {};
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(file);
    fail(Fault::file, "{}: not a regular file", path);
  }
  size_ = info.st_size;
  if (size_ > 0) {
    // On a boundary of huge pages, so that settle() can put some there.
    const std::size_t bytes = static_cast<std::size_t>(size_);
    std::byte* room = anonymous(bytes);
    void* p = room ? mmap(room, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) : MAP_FAILED;
    if (p == MAP_FAILED) {
      std::string why = reason();
      if (room) munmap(room, bytes);
      close(file);
      fail(Fault::file, "{}: cannot be mapped into memory ({} bytes): {}", path, size_, why);
    }
    data_ = static_cast<const std::byte*>(p);
    slot_ = take_slot(path, data_, size_);
  }
  close(file);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(other.data_), size_(other.size_), slot_(other.slot_), settled_(std::move(other.settled_)) {
  other.data_ = nullptr;
  other.size_ = 0;
  other.slot_ = -1;
}

MappedFile::~MappedFile() {
  if (slot_ >= 0) {
    slots[slot_].first = nullptr;
    slots[slot_].used = false;
  }
  if (data_) munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_));
}

void MappedFile::settle(const std::byte* data, i64 bytes, Threads& threads) const {
  CHECK(bytes >= 0 && data >= data_ && data + bytes <= data_ + size_);
  const std::uintptr_t first = round_up(reinterpret_cast<std::uintptr_t>(data), kHugePage);
  const std::uintptr_t last = reinterpret_cast<std::uintptr_t>(data + bytes) / kHugePage * kHugePage;
  if (last <= first) return;
  const std::size_t count = last - first;
  std::byte* copy = anonymous(count);
  if (!copy) return;
  madvise(copy, count, MADV_HUGEPAGE);
  threads.split(static_cast<i64>(count / kHugePage), [&](i64 from, i64 to) {
    for (i64 page = from; page < to; page++) {
      std::byte* source = reinterpret_cast<std::byte*>(first) + page * static_cast<i64>(kHugePage);
      std::memcpy(copy + page * static_cast<i64>(kHugePage), source, kHugePage);
      madvise(source, kHugePage, MADV_DONTNEED);  // never twice in memory
    }
  });
  // Replaces the mapping at once: whoever holds an address goes on reading the same bytes.
  if (mprotect(copy, count, PROT_READ) != 0 ||
      mremap(copy, count, count, MREMAP_MAYMOVE | MREMAP_FIXED, reinterpret_cast<void*>(first)) == MAP_FAILED) {
    munmap(copy, count);
    return;
  }
  settled_.push_back({reinterpret_cast<const std::byte*>(first), reinterpret_cast<const std::byte*>(last)});
}

void MappedFile::release(const std::byte* data, i64 bytes) const {
  CHECK(bytes >= 0 && data >= data_ && data + bytes <= data_ + size_);
  // Whole pages, outwards: neighbours that are dropped with it come back from the page cache. Touching a page maps up to
  // 64 KiB around it (Linux's fault_around_bytes), which would otherwise stay for each of hundreds of tensors.
  constexpr i64 kAround = 64 << 10;
  const std::byte* end = std::min(data + bytes + kAround, data_ + size_);
  data = std::max(data - kAround, data_);
  std::uintptr_t page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  std::uintptr_t first = reinterpret_cast<std::uintptr_t>(data) / page * page;
  std::uintptr_t last = reinterpret_cast<std::uintptr_t>(end);
  // What is settled has no file behind it any more.
  for (auto [from, to] : settled_)
    if (reinterpret_cast<std::uintptr_t>(from) < last && reinterpret_cast<std::uintptr_t>(to) > first) return;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace bitkerf
