// Times Hadamard rotations of one row, in processor time. Usage: hadamard_bench [WIDTH...]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "transforms/hadamard.h"

int main(int argc, char** argv) {
  using namespace bitkerf;
  auto now = [] {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  std::vector<i64> widths = {384, 576, 640, 1536, 2048, 5632, 8192};
  if (argc > 1) widths.clear();
  for (int i = 1; i < argc; i++) widths.push_back(std::atoi(argv[i]));
  constexpr int kCalls = 1000;  // reading the clock takes microseconds
  for (i64 width : widths) {
    Hadamard hadamard(width);
    const Isa isa = chosen_isa();
    std::vector<float> x(static_cast<std::size_t>(width), 1.5f), y(x);
    double best = 1;
    for (int i = 0; i < 100; i++) {
      double start = now();
      for (int j = 0; j < kCalls; j++) hadamard.input(isa, x.data(), y.data());
      best = std::min(best, (now() - start) / kCalls);
    }
    std::printf("%6lld columns in blocks of %lld: %7.3f us, %.3f ns a column\n", static_cast<long long>(width),
                static_cast<long long>(hadamard.block()), best * 1e6, best * 1e9 / static_cast<double>(width));
  }
}
