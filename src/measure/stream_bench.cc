// STREAM through the library's layer beside the same loops in C with OpenMP, run by run in turns.
//   stream_bench ISA THREADS RUNS PAST_CACHE REFERENCE.so     (bench/stream.py builds the reference and calls this)
// Prints one line per loop: name, median GB/s of the layer, of the reference, median of the ratios of neighbouring runs.
#include "measure/stream.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "measure/clock.h"

namespace bitkerf {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class Function>
Function* find(void* library, const char* name) {
  void* symbol = dlsym(library, name);
  if (!symbol) std::fprintf(stderr, "%s\n", dlerror()), std::exit(1);
  return reinterpret_cast<Function*>(symbol);
}

int run(std::string_view isa_name, int thread_count, int runs_wanted, bool past_cache, const char* path) {
  Isa isa = Isa::portable;
  for (const IsaRow& row : isas())
    if (row.name == isa_name) isa = row.isa;
  if (!runs(isa)) return std::fprintf(stderr, "this processor has no %s\n", row_of(isa).name.data()), 77;
  void* library = dlopen(path, RTLD_NOW);
  if (!library) return std::fprintf(stderr, "%s\n", dlerror()), 1;
  auto* start = find<int(long, int)>(library, "reference_start");
  auto* seconds = find<double(int)>(library, "reference_seconds");
  auto* sum = find<double()>(library, "reference_sum");

  Threads threads(thread_count);
  Stream stream(isa, threads, stream_floats());
  if (!stream.right(past_cache, threads)) return std::fprintf(stderr, "wrong result\n"), 1;
  if (!start(stream.floats(), thread_count)) return std::fprintf(stderr, "no memory\n"), 1;
  for (int i = 0; i < kStreamLoops; i++) seconds(i);
  // After copy, scale, add, triad from (1, 2, 0): a 15, b 3, c 4.
  if (sum() != 2 * (15 + 3 + 4)) return std::fprintf(stderr, "wrong result of the reference: %g\n", sum()), 1;

  std::vector<double> ours[kStreamLoops], theirs[kStreamLoops], ratios[kStreamLoops];
  for (int run = 0; run < runs_wanted; run++)
    for (int i = 0; i < kStreamLoops; i++) {
      double speed[2];
      for (int turn = 0; turn < 2; turn++) {
        bool layer = (turn + run) % 2 == 0;
        // Either side's team spins for some milliseconds after its work and must not take the other's cores; an empty
        // parallel step wakes a team before its time is taken.
        usleep(8000);
        if (layer) threads.each([](int) {});
        speed[layer ? 0 : 1] = stream.bytes(i) / (layer ? stream.seconds(i, past_cache, threads) : seconds(i));
      }
      ours[i].push_back(speed[0]);
      theirs[i].push_back(speed[1]);
      ratios[i].push_back(speed[0] / speed[1]);
    }
  for (int i = 0; i < kStreamLoops; i++)
    std::printf("%s %.2f %.2f %.4f\n", stream.loop(i).name, median(ours[i]) / 1e9, median(theirs[i]) / 1e9, median(ratios[i]));
  return 0;
}

}  // namespace
}  // namespace bitkerf

int main(int argc, char** argv) {
  if (argc != 6) return std::fprintf(stderr, "usage: stream_bench ISA THREADS RUNS PAST_CACHE REFERENCE.so\n"), 2;
  return bitkerf::run(argv[1], std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]) != 0, argv[5]);
}
