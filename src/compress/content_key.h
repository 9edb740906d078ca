// Names of what is kept in the cache folder: they depend on the content of the model and the texts, not on their paths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "files/model_file.h"

namespace bitkerf {

// 128 bits that differ for different contents by all likelihood; not for adversaries.
class ContentKey {
 public:
  ContentKey& add(const void* data, std::size_t bytes);
  ContentKey& add(std::string_view text) { return add_length(text.size()).add(text.data(), text.size()); }
  ContentKey& add(const ModelFile& file);  // metadata and tensors
  std::string text() const;                // 32 hexadecimal digits

 private:
  ContentKey& add_length(std::uint64_t n) { return add(&n, sizeof n); }
  std::uint64_t a_ = 0x9e3779b97f4a7c15, b_ = 0xd1b54a32d192ed03;
};

}  // namespace bitkerf
