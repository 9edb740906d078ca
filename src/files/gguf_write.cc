#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "files/gguf.h"

namespace bitkerf {
namespace {

constexpr std::uint32_t kTypeOfArray = 9;

// The format's numbers of the value types; where the element type of an array is meant, no type is an array.
template <class T> constexpr std::uint32_t type_number = kTypeOfArray;
template <> constexpr std::uint32_t type_number<std::uint8_t> = 0;
template <> constexpr std::uint32_t type_number<std::int8_t> = 1;
template <> constexpr std::uint32_t type_number<std::uint16_t> = 2;
template <> constexpr std::uint32_t type_number<std::int16_t> = 3;
template <> constexpr std::uint32_t type_number<std::uint32_t> = 4;
template <> constexpr std::uint32_t type_number<std::int32_t> = 5;
template <> constexpr std::uint32_t type_number<float> = 6;
template <> constexpr std::uint32_t type_number<bool> = 7;
template <> constexpr std::uint32_t type_number<std::string> = 8;
template <> constexpr std::uint32_t type_number<std::uint64_t> = 10;
template <> constexpr std::uint32_t type_number<std::int64_t> = 11;
template <> constexpr std::uint32_t type_number<double> = 12;

template <class T>
void put(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    put(out, static_cast<std::uint64_t>(value.size()));
    out += value;
  } else if constexpr (std::is_same_v<T, MetadataArray>) {
    std::visit(
        [&]<class E>(const std::vector<E>& elements) {
          put(out, type_number<E>);
          put(out, static_cast<std::uint64_t>(elements.size()));
          for (const auto& element : elements) put<E>(out, element);
        },
        value);
  } else if constexpr (std::is_same_v<T, bool>) {
    out += value ? '\1' : '\0';
  } else {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    out.append(bytes, sizeof(T));
  }
}

std::size_t alignment_of(const Metadata& metadata) {
  return static_cast<std::size_t>(metadata.integer("general.alignment", 1, 1 << 16, 32));
}

// A file that deletes itself unless it was given its final name. What writers left that were killed is deleted by the next
// writer of the same file: a writer that lives holds a lock.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path) : path_(path) {
    delete_leftovers();
    // Another writer may have taken the new file for a leftover before it was locked; then there is another try.
    for (struct stat state = {}; state.st_nlink == 0;) {
      if (file_ >= 0) close(file_);
      temporary_ = path_ + std::string(kSuffix) + std::string(kRandom, 'X');
      file_ = mkostemp(temporary_.data(), O_CLOEXEC);
      if (file_ < 0) complain("cannot be created");
      if (flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;
      if (fstat(file_, &state) != 0) complain("cannot be created");
    }
    // mkostemp makes a private file; give it the mode that a new file would have.
    mode_t mask = umask(0);
    umask(mask);
    fchmod(file_, 0666 & ~mask);
  }
  ~TemporaryFile() {
    if (file_ < 0) return;
    unlink(temporary_.c_str());
    close(file_);
  }
  TemporaryFile(const TemporaryFile&) = delete;

  void write(const void* data, std::size_t bytes) {
    const char* p = static_cast<const char*>(data);
    while (bytes > 0) {
      ssize_t written = ::write(file_, p, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) complain("cannot be written");
      p += written;
      bytes -= static_cast<std::size_t>(written);
    }
  }

  void finish() {
    if (fsync(file_) != 0) complain("cannot be written");
    if (rename(temporary_.c_str(), path_.c_str()) != 0) complain("cannot be put in place");
    close(file_);
    file_ = -1;
    // The new name is durable once the folder is on the disk; a system that cannot do this has the file anyway.
    std::string folder = std::filesystem::path(path_).parent_path().string();
    int directory = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
      fsync(directory);
      close(directory);
    }
  }

 private:
  [[noreturn]] void complain(std::string_view what) {
    fail(Fault::run_time, "{}: {}: {}", path_, what, std::generic_category().message(errno));
  }

  static constexpr std::string_view kSuffix = ".part-";
  static constexpr std::size_t kRandom = 6;

  void delete_leftovers() const {
    const std::filesystem::path whole(path_);
    const std::filesystem::path folder = whole.has_parent_path() ? whole.parent_path() : std::filesystem::path(".");
    const std::string start = whole.filename().string() + std::string(kSuffix);
    std::error_code ignored;
    for (std::filesystem::directory_iterator entry(folder, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
      const std::string name = entry->path().filename().string();
      if (!name.starts_with(start) || name.size() != start.size() + kRandom) continue;
      int file = open(entry->path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      if (file < 0) continue;
      if (flock(file, LOCK_EX | LOCK_NB) == 0) unlink(entry->path().c_str());
      close(file);
    }
  }

  std::string path_, temporary_;
  int file_ = -1;
};

}  // namespace

std::string gguf_header(const Metadata& metadata, std::span<const Tensor> tensors) {
  std::size_t alignment = alignment_of(metadata);
  std::string out = "GGUF";
  put<std::uint32_t>(out, 3);
  put<std::uint64_t>(out, tensors.size());
  put<std::uint64_t>(out, metadata.values().size());
  for (const auto& [key, value] : metadata.values()) {
    put(out, key);
    std::visit(
        [&]<class T>(const T& v) {
          put(out, type_number<T>);
          put(out, v);
        },
        value);
  }
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    put(out, tensor.name);
    put(out, static_cast<std::uint32_t>(tensor.shape.size()));
    for (i64 size : tensor.shape) put(out, static_cast<std::uint64_t>(size));
    put(out, tensor.type->id);
    put(out, offset);
    offset = round_up(offset + static_cast<std::uint64_t>(tensor.bytes), static_cast<std::uint64_t>(alignment));
  }
  out.resize(round_up(out.size(), alignment), '\0');
  return out;
}

void write_gguf(const std::string& path, const Metadata& metadata, std::span<const Tensor> tensors) {
  std::size_t alignment = alignment_of(metadata);
  std::string header = gguf_header(metadata, tensors);
  std::string padding(alignment, '\0');
  TemporaryFile file(path);
  file.write(header.data(), header.size());
  for (const Tensor& tensor : tensors) {
    CHECK_EQ(tensor.bytes, tensor.type->bytes(tensor.weights()));
    std::size_t bytes = static_cast<std::size_t>(tensor.bytes);
    file.write(tensor.data, bytes);
    file.write(padding.data(), round_up(bytes, alignment) - bytes);
  }
  file.finish();
}

}  // namespace bitkerf
