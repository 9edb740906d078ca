#include "output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "core/error.h"

namespace bitkerf {

void print(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  if (errno == EPIPE) throw OutputClosed{};
  fail(Fault::run_time, "cannot write to the standard output: {}", std::strerror(errno));
}

void print_json(const nlohmann::ordered_json& object) {
  print(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void write_whole(const std::string& path, const std::string& text) {
  const std::string part = path + ".part";
  std::ofstream stream(part, std::ios::binary);
  stream << text;
  stream.close();
  if (!stream || std::rename(part.c_str(), path.c_str()) != 0) {
    int error = errno;
    std::remove(part.c_str());
    fail(Fault::run_time, "{}: cannot be written: {}", path, std::strerror(error));
  }
}

void print_error(std::string_view kind, std::string_view text) {
  std::string line;
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 32 || c == 127)
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      line += c;
  }
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(kind.size()), kind.data(), line.c_str());
}

}  // namespace bitkerf
