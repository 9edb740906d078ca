// Times Hadamard rotations of one row, and Kronecker products of its width, in processor time. Usage: hadamard_bench [WIDTH...]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "transforms/hadamard.h"
#include "transforms/kronecker.h"

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
    std::vector<float> parameters(static_cast<std::size_t>(width), 1.0f);
    const i64 n1 = Kronecker::rows_of(width);
    for (i64 side : {n1, width / n1})
      for (i64 i = 0; i < side * side; i++) parameters.push_back(i % (side + 1) == 0 ? 1.0f : 0.01f);
    Kronecker kronecker(width, parameters);
    const Isa isa = chosen_isa();
    std::vector<float> x(static_cast<std::size_t>(width), 1.5f), y(x);
    auto time = [&](const Transform& transform) {
      double best = 1;
      for (int i = 0; i < 30; i++) {
        double start = now();
        for (int j = 0; j < kCalls; j++) transform.input(isa, x.data(), y.data());
        best = std::min(best, (now() - start) / kCalls);
      }
      return best;
    };
    const double one = time(hadamard), two = time(kronecker);
    std::printf("%6lld columns: hadamard in blocks of %lld %7.3f us, kronecker %lld x %lld %7.3f us\n", static_cast<long long>(width),
                static_cast<long long>(hadamard.block()), one * 1e6, static_cast<long long>(n1), static_cast<long long>(width / n1), two * 1e6);
  }
}
