// A file in memory, read-only, without reading it: pages come from the system when they are touched.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/threads.h"
#include "core/view.h"

namespace bitkerf {

class MappedFile {
 public:
  // Throws Error{Fault::file} when the path cannot be opened or is not a regular file.
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, static_cast<std::size_t>(size_)}; }
  const std::string& path() const { return path_; }
  bool holds(const std::byte* p) const { return p >= data_ && p < data_ + size_; }
  // The pages of these bytes stop counting as resident; they come back from the file when they are read again.
  void release(const std::byte* data, i64 bytes) const;
  // These bytes will be read again and again (weights): all but their edges move from the file's pages of 4 KiB into memory
  // of this process, in huge pages, at the same addresses. Does nothing where the system has no room. Not while others read.
  void settle(const std::byte* data, i64 bytes, Threads& threads) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  i64 size_ = 0;
  int slot_ = -1;
  mutable std::vector<std::pair<const std::byte*, const std::byte*>> settled_;  // [first, last)
};

// Reading a mapped page that the file no longer has (somebody truncated it, or the disk failed) raises SIGBUS in the
// middle of whatever kernel read it; there is nothing sensible to go on with. After this call the program ends with
// one line that names the file, and exit code 3, instead of dying by the signal. For main() only: libraries leave
// their host's signals alone.
void guard_mapped_files();

}  // namespace bitkerf
