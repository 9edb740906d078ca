// Any bytes are refused with Fault::file or read: as a container of statistics or of an imatrix, or as an old imatrix.
#include "compress/calibration/statistics.h"
#include "core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitkerf;
  std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    Statistics statistics;
    if (size >= 4 && data[0] == 'G') {
      Gguf gguf = parse_gguf("fuzz", bytes);
      statistics = read_statistics("fuzz", gguf.metadata, gguf.tensors);
    } else {
      statistics = parse_old_imatrix("fuzz", bytes);
    }
    for (const auto& [name, input] : statistics.inputs)
      for (i64 c = 0; c < input->cols(); c++) CHECK(input->square(c) >= 0);
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::file);
  }
  return 0;
}
