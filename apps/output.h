// The standard output carries the answer only; everything else goes to stderr.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace bitkerf {

// Thrown when nobody reads our output any more; main() ends the program quietly.
struct OutputClosed {};

// Writes and flushes. Throws OutputClosed on a closed pipe, Fault::run_time on other trouble (a full disk).
void print(std::string_view text);
// One JSON object on one line. Bytes that are no UTF-8 become U+FFFD.
void print_json(const nlohmann::ordered_json& object);

// A text file in one piece: the old one stays until the new one is complete. Fault::run_time where it cannot be written.
void write_whole(const std::string& path, const std::string& text);

// One line for people on stderr: control characters are shown as \xNN, so that a file name cannot steer a terminal.
void print_error(std::string_view kind, std::string_view text);

}  // namespace bitkerf
