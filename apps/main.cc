// bitkerf: one program, a page per verb. This file is its table of contents; the verbs are listed in verbs.cc.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <span>
#include <string_view>

#include "core/error.h"
#include "files/mapped_file.h"
#include "options.h"
#include "output.h"

namespace bitkerf {
namespace {

int run_verb(std::span<const char* const> arguments) {
  if (arguments.empty()) throw Error(Fault::usage, "no verb given", "bitkerf help lists the verbs");
  std::string_view first = arguments[0];
  if (first == "--version" || first == "-V") return print("bitkerf " BITKERF_VERSION "\n"), 0;
  if (first == "--help" || first == "-h") return print(help_of_all()), 0;

  const Verb& verb = find_verb(first);
  Options options = parse(verb, arguments.subspan(1));
  if (options.help) return print(help_of(verb)), 0;
  // The environment variable is how the library is told (core/cpu.h), so that child code needs no argument.
  if (!options.isa.empty()) setenv("BITKERF_ISA", options.isa.c_str(), 1);
  return verb.run(options);
}

int report(Fault fault, std::string_view message, std::string_view hint = {}) {
  print_error("error", message);
  if (!hint.empty()) print_error("hint", hint);
  return row_of(fault).exit_code;
}

// The only place of the command line that catches errors.
int run(std::span<const char* const> arguments) {
  try {
    return run_verb(arguments);
  } catch (const OutputClosed&) {
    return 0;
  } catch (const Error& e) {
    return report(e.fault(), e.what(), e.hint());
  } catch (const std::bad_alloc&) {
    return report(Fault::memory, "not enough memory", "a smaller context (-c) or a smaller model needs less");
  } catch (const std::exception& e) {
    return report(Fault::run_time, e.what());
  }
}

}  // namespace
}  // namespace bitkerf

int main(int argc, char** argv) {
  bitkerf::guard_mapped_files();  // one line instead of a crash when a model's file shrinks under us
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is seen by the write that fails
  return bitkerf::run(std::span<const char* const>(argv + 1, argc > 0 ? static_cast<std::size_t>(argc - 1) : 0));
}
