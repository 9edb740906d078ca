// The files of a Hugging Face folder: any bytes are refused with Fault::file or read. The first byte of the input
// says which file the rest is.
#include <string_view>

#include "core/error.h"
#include "files/huggingface.h"
#include "files/safetensors.h"

namespace bitkerf {
namespace {

void tensors(std::string_view text) {
  for (const Tensor& tensor : parse_safetensors("f", {reinterpret_cast<const std::byte*>(text.data()), text.size()})) {
    std::vector<float> out(static_cast<std::size_t>(std::min<i64>(tensor.weights(), 1000)));
    i64 count = static_cast<i64>(out.size());
    tensor.type->dequantize(tensor.data, count, out.data());
    tensor.type->dequantize(tensor.data + tensor.bytes - count * tensor.type->block_bytes, count, out.data());
  }
}

// The configuration; a second line is a tensor's name.
void config(std::string_view text) {
  std::size_t end = std::min(text.rfind('\n'), text.size());
  Metadata metadata = translate_config("f", text.substr(0, end));
  std::string name(text.substr(std::min(end + 1, text.size())));
  translate_tensor_name(name, metadata);
  CHECK(metadata.integer(metadata.text("general.architecture") + ".embedding_length", 1, i64{1} << 62) > 0);
}

void chat_template(std::string_view text) {
  Metadata metadata("f");
  translate_chat_template("f", text, metadata);
}

constexpr void (*kTargets[])(std::string_view) = {tensors, config, chat_template};

}  // namespace
}  // namespace bitkerf

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitkerf;
  if (size == 0) return 0;
  try {
    kTargets[data[0] % std::size(kTargets)]({reinterpret_cast<const char*>(data + 1), size - 1});
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::file);
  }
  return 0;
}
