// Any bytes are refused with Fault::file or parsed; what is parsed can be asked for every value, decoded, and written
// and read again without a difference.
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "files/gguf.h"

namespace bitkerf {
namespace {

template <class F>
void may_refuse(F f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::file);
  }
}

void ask_for_everything(const Metadata& metadata) {
  for (const auto& pair : metadata.values()) {
    const std::string& key = pair.first;
    may_refuse([&] { metadata.integer(key, 1, 1 << 20); });
    may_refuse([&] { CHECK(metadata.number(key, 0, 1e9) >= 0); });
    may_refuse([&] { metadata.boolean(key, false); });
    may_refuse([&] { metadata.text(key); });
    may_refuse([&] { metadata.texts(key); });
    may_refuse([&] { metadata.integers(key); });
    may_refuse([&] { metadata.numbers(key); });
  }
}

void decode_a_bit_of(const Tensor& tensor) {
  i64 blocks = std::min<i64>(tensor.weights() / tensor.type->block, 4);
  std::vector<float> out(static_cast<std::size_t>(blocks * tensor.type->block));
  tensor.type->dequantize(tensor.data, blocks, out.data());
  tensor.type->dequantize(tensor.data + tensor.bytes - blocks * tensor.type->block_bytes, blocks, out.data());
}

std::string whole_file(const Metadata& metadata, const std::vector<Tensor>& tensors, i64 alignment) {
  std::string out = gguf_header(metadata, tensors);
  for (const Tensor& tensor : tensors) {
    out.append(reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.bytes));
    out.resize(round_up(out.size(), static_cast<std::size_t>(alignment)), '\0');
  }
  return out;
}

void check_rewriting(const Gguf& gguf) {
  std::string once = whole_file(gguf.metadata, gguf.tensors, gguf.alignment);
  Gguf again = parse_gguf("again", {reinterpret_cast<const std::byte*>(once.data()), once.size()});
  CHECK_EQ(again.metadata.values().size(), gguf.metadata.values().size());
  CHECK_EQ(again.tensors.size(), gguf.tensors.size());
  for (std::size_t i = 0; i < gguf.tensors.size(); i++) {
    const Tensor &a = gguf.tensors[i], &b = again.tensors[i];
    CHECK(a.name == b.name && a.type == b.type && a.shape == b.shape && a.bytes == b.bytes);
    CHECK(std::memcmp(a.data, b.data, static_cast<std::size_t>(a.bytes)) == 0);
  }
  // Bytes, as NaN values differ from themselves.
  CHECK(whole_file(again.metadata, again.tensors, again.alignment) == once);
}

}  // namespace
}  // namespace bitkerf

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitkerf;
  Gguf gguf;
  try {
    gguf = parse_gguf("fuzz", {reinterpret_cast<const std::byte*>(data), size});
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::file);
    return 0;
  }
  ask_for_everything(gguf.metadata);
  for (const Tensor& tensor : gguf.tensors) decode_a_bit_of(tensor);
  check_rewriting(gguf);
  return 0;
}
