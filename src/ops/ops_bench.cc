// Times the row operations as a decode step and a prefill step of a model meet them. Usage: ops_bench [THREADS]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <vector>

#include "ops/ops.h"

namespace bitkerf {
namespace {

double now(int threads) {  // processor time with one thread: other programs disturb it less
  timespec t;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

OwnedMatrix<float> numbers(i64 rows, i64 cols) {
  OwnedMatrix<float> m(rows, cols);
  unsigned state = 1;
  for (i64 i = 0; i < rows * cols; i++) {
    state = state * 1664525 + 1013904223;
    m.view().data[i] = static_cast<float>(static_cast<int>(state)) * 0x1p-30f;
  }
  return m;
}

}  // namespace
}  // namespace bitkerf

int main(int argc, char** argv) {
  using namespace bitkerf;
  Threads threads(argc > 1 ? std::atoi(argv[1]) : 2);
  Arena none(64);
  Context context{threads, none, chosen_isa()};
  std::printf("SmolLM2-135M, path %s, %d threads: microseconds per token and layer\n",
              std::string(row_of(context.isa).name).c_str(), threads.count());
  std::vector<double> frequencies;
  for (int i = 0; i < 32; i++) frequencies.push_back(std::pow(1e5, -i / 32.0));
  Rotary rotary(frequencies);
  for (i64 tokens : {1, 512}) {
    OwnedMatrix<float> x = numbers(tokens, 576), delta = numbers(tokens, 576), y(tokens, 576), gain = numbers(1, 576);
    OwnedMatrix<float> gate = numbers(tokens, 1536), up = numbers(tokens, 1536), product(tokens, 1536);
    OwnedMatrix<float> k = numbers(tokens, 192), table(tokens, 64);
    OwnedMatrix<float> logits = numbers(1, 49152);
    struct OpRow {
      const char* name;
      std::function<void()> call;
    };
    const OpRow rows[] = {
        {"add_rms_norm (twice a layer)", [&] { add_rms_norm(x.view(), delta.view(), gain.view().row_span(0), 1e-5f, y.view(), context); }},
        {"rotate q and k", [&] { rotate(table.view(), RotaryPairs::neighbours, 64, y.view(), context);
                                 rotate(table.view(), RotaryPairs::neighbours, 64, k.view(), context); }},
        {"silu_gate", [&] { silu_gate(gate.view(), up.view(), product.view(), context); }},
        {"gelu_gate", [&] { gelu_gate(gate.view(), up.view(), product.view(), context); }},
        {"fill rotary table (once a step)", [&] { rotary.fill(1000, table.view(), context); }},
        {"argmax of 49152 (once a token)", [&] { argmax(logits.view().row_span(0)); }},
        {"log_sum_exp of 49152", [&] { log_sum_exp(logits.view().row_span(0), context.isa); }},
    };
    for (const OpRow& row : rows) {
      double best = 1e9;
      for (int i = 0; i < 200; i++) {
        double start = now(threads.count());
        for (int j = 0; j < 5; j++) row.call();
        best = std::min(best, (now(threads.count()) - start) / 5);
      }
      std::printf("%4lld tokens  %-34s %8.3f\n", static_cast<long long>(tokens), row.name, best / static_cast<double>(tokens) * 1e6);
    }
  }
}
