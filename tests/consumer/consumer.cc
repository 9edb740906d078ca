// Prints the stored types that the library knows, and refuses a file that is not there.
#include <cstdio>

#include "core/error.h"
#include "files/model_file.h"
#include "formats/stored.h"

int main() {
  for (const bitkerf::StoredType& type : bitkerf::stored_types())
    std::printf("%.*s\n", static_cast<int>(type.name.size()), type.name.data());
  try {
    bitkerf::open_model_file("no/such/file.gguf");
  } catch (const bitkerf::Error& e) {
    std::printf("%s\n", e.what());
    return e.fault() == bitkerf::Fault::file ? 0 : 1;
  }
  return 1;
}
