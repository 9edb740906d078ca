// Times attention as a model calls it: all layers of one model, each with a cache of its own, so that a decode step
// reads what it would read in use. Usage: attention_bench [THREADS] [SECONDS PER ROW] [MODEL] [f16]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "measure/roofs.h"
#include "mixers/mixer.h"

namespace bitkerf {
namespace {

struct ModelRow {
  const char* name;
  i64 layers;
  AttentionShape shape;
};
const ModelRow kModels[] = {
    {"SmolLM2-135M", 30, {9, 3, 64, 64, 0.125f, 0, 0}},
    {"Gemma-3-270m", 18, {4, 1, 256, 256, 0.0625f, 0, 0}},
    {"Gemma-3-270m sliding", 18, {4, 1, 256, 256, 0.0625f, 0, 512}},
    {"Llama-3.2-1B", 16, {32, 8, 64, 64, 0.125f, 0, 0}},
    {"Gemma-2-2B capped", 26, {8, 4, 256, 256, 0.0625f, 50, 0}},
};
struct StepRow {
  const char* name;
  i64 position, tokens;
};
constexpr StepRow kSteps[] = {
    {"prefill 512", 0, 512}, {"prefill 64 at 448", 448, 64}, {"decode at 128", 128, 1},
    {"decode at 1024", 1024, 1}, {"decode at 4096", 4096, 1},
};

// With one thread its processor time, which other programs disturb less; with more the time on the wall.
double now(int threads) {
  timespec t;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

OwnedMatrix<float> numbers(i64 rows, i64 cols) {
  OwnedMatrix<float> m(rows, cols);
  unsigned state = 1;
  for (i64 i = 0; i < rows * cols; i++) {
    state = state * 1664525 + 1013904223;
    m.view().data[i] = static_cast<float>(static_cast<int>(state)) * 0x1p-31f;
  }
  return m;
}

void run_step(const ModelRow& model, const StepRow& step, CacheType cache, Context& context, double seconds, const Roofs& roofs) {
  const AttentionShape& s = model.shape;
  i64 room = step.position + step.tokens;
  std::unique_ptr<Mixer> mixer = make_attention(s, cache, context.threads.count());
  Arena arena(std::max(mixer->scratch(step.tokens, room), mixer->scratch(256, room)));
  Context own{context.threads, arena, context.isa};
  i64 rows = std::max<i64>(step.tokens, 256);
  OwnedMatrix<float> q = numbers(rows, s.heads * s.head_dim), k = numbers(rows, s.kv_heads * s.head_dim);
  OwnedMatrix<float> v = numbers(rows, s.kv_heads * s.value_dim), y(rows, s.heads * s.value_dim);
  auto mix = [&](MixerState* state, i64 position, i64 tokens) {
    Run run{0, tokens, position};
    mixer->mix(q.view().sub_rows(0, tokens), k.view().sub_rows(0, tokens), v.view().sub_rows(0, tokens),
               Batch{{&run, 1}, tokens}, {&state, 1}, y.view().sub_rows(0, tokens), own);
  };
  std::vector<std::unique_ptr<MixerState>> states;
  for (i64 layer = 0; layer < model.layers; layer++) {
    states.push_back(mixer->state(room));
    for (i64 t = 0; t < step.position; t += 256) mix(states.back().get(), t, std::min<i64>(256, step.position - t));
  }
  std::vector<double> times;
  int threads = context.threads.count();
  for (double end = now(threads) + seconds; now(threads) < end || times.size() < 3;) {
    double start = now(threads);
    for (auto& state : states) mix(state.get(), step.position, step.tokens);
    times.push_back(now(threads) - start);
    for (auto& state : states) state->truncate(step.position);
  }
  std::sort(times.begin(), times.end());
  double pairs = 0;  // of a query and a key that it sees, per head
  i64 first = room;
  for (i64 p = step.position; p < room; p++) {
    i64 seen = s.window > 0 ? std::min(p + 1, s.window) : p + 1;
    pairs += static_cast<double>(seen);
    first = std::min(first, p + 1 - seen);
  }
  double operations = 2 * pairs * static_cast<double>(model.layers * s.heads * (s.head_dim + s.value_dim));
  double bytes = static_cast<double>((room - first) * model.layers * states[0]->bytes_per_token());
  double best = times.front(), tokens = static_cast<double>(step.tokens);
  std::printf("%-22s %-18s %8.1f %8.1f us/token  %6.1f GFLOP/s %5.1f %%  %6.1f GB/s %5.1f %%\n", model.name, step.name,
              best / tokens * 1e6, times[times.size() / 2] / tokens * 1e6, operations / best * 1e-9,
              100 * operations / best / roofs.float_ops_per_second, bytes / best * 1e-9,
              100 * bytes / best / roofs.read_bytes_per_second);
}

}  // namespace
}  // namespace bitkerf

int main(int argc, char** argv) {
  using namespace bitkerf;
  Threads threads(argc > 1 ? std::atoi(argv[1]) : 2);
  double seconds = argc > 2 ? std::atof(argv[2]) : 0.3;
  std::string only = argc > 3 ? argv[3] : "";
  CacheType cache = argc > 4 && argv[4] == std::string("f16") ? CacheType::f16 : CacheType::int16;
  Arena none(64);
  Context context{threads, none, chosen_isa()};
  RoofMeter meter(context.isa, threads);
  Roofs roofs = meter.measure(1);
  std::printf("%s, %d threads, path %s: %.0f GFLOP/s float, %.1f GB/s read\n", cpu_info().name.c_str(), threads.count(),
              std::string(row_of(context.isa).name).c_str(), roofs.float_ops_per_second * 1e-9,
              roofs.read_bytes_per_second * 1e-9);
  std::printf("model, all layers; best and median time; share of the float and of the memory limit \n");
  for (const ModelRow& model : kModels)
    for (const StepRow& step : kSteps)
      if (only.empty() || only == model.name) run_step(model, step, cache, context, seconds, roofs);
}
