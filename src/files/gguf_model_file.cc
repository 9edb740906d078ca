// A GGUF file, whole or split, as a ModelFile.
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "core/printable.h"
#include "files/compact_vocabulary.h"
#include "files/gguf.h"
#include "files/mapped_file.h"

namespace bitkerf {
namespace {

constexpr i64 kMostParts = 99999;

// A name such as "model-00001-of-00003.gguf".
struct PartName {
  std::string stem;
  int number = 0, count = 0;

  std::string path_of(i64 part) const { return fmt::format("{}-{:05}-of-{:05}.gguf", stem, part, count); }
};

std::optional<PartName> part_name(std::string_view path) {
  constexpr std::string_view kShape = "-NNNNN-of-NNNNN.gguf";
  if (path.size() < kShape.size()) return std::nullopt;
  std::string_view tail = path.substr(path.size() - kShape.size());
  PartName name{std::string(path.substr(0, path.size() - kShape.size())), 0, 0};
  for (std::size_t i = 0; i < kShape.size(); i++) {
    if (kShape[i] != 'N' && tail[i] != kShape[i]) return std::nullopt;
    if (kShape[i] != 'N') continue;
    if (tail[i] < '0' || tail[i] > '9') return std::nullopt;
    int& number = i < 6 ? name.number : name.count;
    number = number * 10 + (tail[i] - '0');
  }
  return name;
}

class GgufModelFile final : public ModelFile {
 public:
  explicit GgufModelFile(const std::string& path) {
    path_ = path;
    Gguf first = add_part(path);
    i64 parts = first.metadata.integer("split.count", 0, kMostParts, 1);
    if (parts <= 1) {
      metadata_ = std::move(first.metadata);
      tensors_ = std::move(first.tensors);
    } else {
      join(std::move(first), parts);
    }
    expand_vocabulary(metadata_);
    index_tensors();
  }

  void release(const std::byte* data, i64 bytes) const override {
    for (const MappedFile& part : parts_)
      if (part.holds(data)) part.release(data, bytes);
  }
  void settle(const std::byte* data, i64 bytes, Threads& threads) const override {
    for (const MappedFile& part : parts_)
      if (part.holds(data)) part.settle(data, bytes, threads);
  }

 private:
  Gguf add_part(const std::string& path) {
    parts_.emplace_back(path);
    file_bytes_ += static_cast<i64>(parts_.back().bytes().size());
    return parse_gguf(path, parts_.back().bytes());
  }

  void join(Gguf first, i64 count) {
    std::optional<PartName> name = part_name(path_);
    if (!name || name->count != count)
      fail(Fault::file, "{}: one of {} parts, expected a name that ends in -00001-of-{:05}.gguf", path_, count, count);
    if (first.metadata.integer("split.no", 0, kMostParts) != 0 || name->number != 1)
      throw Error(Fault::file, fmt::format("{}: not the first of {} parts", path_, count),
                  fmt::format("open {}", name->path_of(1)));
    i64 expected = first.metadata.integer("split.tensors.count", 0, std::numeric_limits<std::int32_t>::max());
    tensors_ = std::move(first.tensors);
    for (i64 part = 2; part <= count; part++) {
      Gguf next = add_part(name->path_of(part));
      if (next.metadata.integer("split.no", 0, kMostParts) != part - 1 ||
          next.metadata.integer("split.count", 0, kMostParts) != count)
        fail(Fault::file, "{}: says that it is part {} of {}, expected {} of {}", next.metadata.where(),
             next.metadata.integer("split.no", 0, kMostParts) + 1, next.metadata.integer("split.count", 0, kMostParts),
             part, count);
      for (Tensor& tensor : next.tensors) tensors_.push_back(std::move(tensor));
    }
    if (static_cast<i64>(tensors_.size()) != expected)
      fail(Fault::file, "{}: {} parts with {} tensors in all, expected {}", path_, count, tensors_.size(), expected);
    // The whole has no part numbers.
    metadata_ = std::move(first.metadata);
    for (const char* key : {"split.no", "split.count", "split.tensors.count"}) metadata_.erase(key);
  }

  std::vector<MappedFile> parts_;
};

}  // namespace

std::unique_ptr<ModelFile> open_gguf(const std::string& path) { return std::make_unique<GgufModelFile>(path); }

}  // namespace bitkerf
