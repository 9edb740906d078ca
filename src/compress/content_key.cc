#include "compress/content_key.h"

#include <cstring>

#include <fmt/format.h>

#include "files/gguf.h"

namespace bitkerf {
namespace {
// Multiply and fold (the mixing step of wyhash): each bit of the product of two 64-bit numbers reaches the result.
std::uint64_t mix(std::uint64_t x, std::uint64_t y) {
  auto product = static_cast<unsigned __int128>(x) * y;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}
}  // namespace

ContentKey& ContentKey::add(const void* data, std::size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(data);
  for (std::size_t at = 0; at < bytes; at += 16) {
    std::uint64_t words[2] = {0, 0};
    std::memcpy(words, p + at, bytes - at < 16 ? bytes - at : 16);
    a_ = mix(a_ ^ words[0], 0xa0761d6478bd642f ^ words[1]);
    b_ = mix(b_ ^ words[1], 0xe7037ed1a0b428db ^ words[0]) + a_;
  }
  a_ ^= bytes;
  return *this;
}

ContentKey& ContentKey::add(const ModelFile& file) {
  add(gguf_header(file.metadata(), file.tensors()));
  for (const Tensor& tensor : file.tensors()) add(tensor.data, static_cast<std::size_t>(tensor.bytes));
  return *this;
}

std::string ContentKey::text() const {
  return fmt::format("{:016x}{:016x}", mix(a_, 0x8ebc6af09c88c6e3 ^ b_), mix(b_, 0x589965cc75374cc3 ^ a_));
}

}  // namespace bitkerf
