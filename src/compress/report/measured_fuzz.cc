// Any text is a table of figures that can be drawn, or refused with Fault::file and the path.
#include "compress/report/measured.h"

#include <cmath>
#include <string>

#include "core/check.h"
#include "core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitkerf;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    for (const MeasuredFile& file : parse_measured("path", text).files) {
      CHECK(std::isfinite(file.mib) && file.mib >= 0 && std::isfinite(file.divergence));
      CHECK(!file.predicted || std::isfinite(*file.predicted));
    }
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::file);
    CHECK(std::string(error.what()).starts_with("path"));
  }
  return 0;
}
