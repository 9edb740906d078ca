// Grouped-query softmax attention: who computes what. Two ways to cut the work, with the same bits:
//   few tokens (decode)   a task is one token, one key-value head, some of its query heads and one span of keys; the
//                         spans' partials are merged afterwards
//   many tokens           a task is a tile of tokens of one run and one key-value head, over all keys
#include <algorithm>
#include <atomic>

#include "mixers/attention_cache.h"
#include "mixers/attention_kernels.h"
#include "mixers/mixer.h"

namespace bitkerf {
namespace {

// One row per Isa, in its order; in each a row per CacheType.
constexpr const AttentionKernels* kKernels[] = {kAttentionPortable, kAttentionAvx2, kAttentionAvx512};

// Rows (tokens x heads of a group) that share one pass over keys and values. Converting a block of 64 half-float keys
// and values costs about as much as multiplying 5 rows with it, so 96 make it 5 %; and queries, values and the block
// (about 100 KiB at head_dim 64, 420 KiB at 256) stay in the second-level cache.
constexpr i64 kTileRows = 96;
// Tasks per worker that even out their different sizes.
constexpr i64 kTasksPerWorker = 4;
// Spans of one step that get a partial each (some 400 bytes a head): 1024 are 256 k keys of one token. Beyond it work is
// split by key-value heads only.
constexpr i64 kMostSpans = 1024;
// Multiply-adds that take as long as joining the team (about 1 us).
constexpr i64 kWorthAJoin = 100000;

class Attention final : public Mixer {
 public:
  Attention(const AttentionShape& shape, CacheType cache, int threads)
      : shape_(shape), cache_(cache), threads_(threads), group_(shape.heads / shape.kv_heads),
        value_cols_(round_up<i64>(shape.value_dim, 16)) {}

  std::unique_ptr<MixerState> state(i64 max_tokens) const override {
    return std::make_unique<AttentionState>(shape_, cache_, max_tokens, spare_);
  }
  void mix(Matrix<const float> q, Matrix<const float> k, Matrix<const float> v, const Batch& batch,
           std::span<MixerState* const> states, Matrix<float> y, Context& context) const noexcept override;
  i64 scratch(i64 tokens, i64 max_tokens) const override;

 private:
  // A call of mix().
  struct Step {
    Matrix<const float> q, k, v;
    const Batch& batch;
    std::span<MixerState* const> states;
    Matrix<float> y;
    Context& context;
    const AttentionKernels& kernels;
    const AttentionState& state(i64 run) const {
      return static_cast<const AttentionState&>(*states[static_cast<std::size_t>(run)]);
    }
    const Run& run(i64 i) const { return batch.runs[static_cast<std::size_t>(i)]; }
    i64 runs() const { return static_cast<i64>(batch.runs.size()); }
  };

  bool few(const Batch& batch) const {
    return batch.tokens * shape_.kv_heads <= kTasksPerWorker * threads_ && spans_of(batch) <= kMostSpans;
  }
  i64 tile_tokens(i64 batch_tokens) const;
  i64 worker_floats(i64 rows) const { return row_of(cache_).scratch(rows, shape_.head_dim, value_cols_); }
  // Spans that a token at this position looks at: [first, last).
  i64 first_span(i64 position) const {
    return shape_.window > 0 ? std::max<i64>(0, position + 1 - shape_.window) / kSpanKeys : 0;
  }
  i64 last_span(i64 position) const { return position / kSpanKeys + 1; }
  i64 spans_of(const Batch& batch) const;
  i64 most_spans(i64 max_tokens) const;
  // Multiply-adds of a run.
  i64 work(const Run& run) const;
  AttentionTile tile(const Step& step, i64 run, i64 token, i64 tokens, i64 kv_head, i64 first_head, i64 heads,
                     float* scratch) const;
  template <class Task>
  void spread(i64 tasks, bool alone, Context& context, Task&& task) const;
  void store(const Step& step) const;
  void mix_few(const Step& step, bool alone) const;
  void mix_many(const Step& step, bool alone) const;

  AttentionShape shape_;
  CacheType cache_;
  i64 threads_, group_, value_cols_;
  std::shared_ptr<SpareMemory> spare_ = std::make_shared<SpareMemory>();
};

i64 Attention::tile_tokens(i64 batch_tokens) const {
  i64 fair = ceil_div(batch_tokens * shape_.kv_heads, kTasksPerWorker * threads_);
  return std::clamp<i64>(fair, 1, std::max<i64>(1, kTileRows / group_));
}

i64 Attention::spans_of(const Batch& batch) const {
  i64 spans = 0;
  for (const Run& r : batch.runs)
    for (i64 p = r.position; p < r.position + r.tokens; p++) spans += last_span(p) - first_span(p);
  return spans;
}

i64 Attention::most_spans(i64 max_tokens) const {
  i64 all = ceil_div(max_tokens, kSpanKeys);
  return shape_.window > 0 ? std::min(all, shape_.window / kSpanKeys + 2) : all;
}

i64 Attention::work(const Run& run) const {
  i64 keys = run.position + run.tokens / 2 + 1;
  if (shape_.window > 0) keys = std::min(keys, shape_.window);
  return run.tokens * keys * shape_.heads * (shape_.head_dim + shape_.value_dim);
}

// What mix_few and mix_many take, in their order.
i64 Attention::scratch(i64 tokens, i64 max_tokens) const {
  i64 rows = tile_tokens(tokens) * group_;
  i64 many = Arena::bytes_of<float>(threads_ * (worker_floats(rows) + partial_floats(rows, value_cols_))) +
             Arena::bytes_of<i64>(tokens + 1);
  // Fewer tokens than asked for may go the other way.
  i64 most_few = std::min(tokens, kTasksPerWorker * threads_ / shape_.kv_heads);
  i64 partials = std::min(most_few * most_spans(max_tokens), kMostSpans) * shape_.heads;
  i64 few = Arena::bytes_of<float>(threads_ * worker_floats(group_)) +
            Arena::bytes_of<float>(partials * partial_floats(1, value_cols_));
  return std::max(many, few);
}

AttentionTile Attention::tile(const Step& step, i64 run, i64 token, i64 tokens, i64 kv_head, i64 first_head, i64 heads,
                              float* scratch) const {
  const Run& r = step.run(run);
  i64 head = kv_head * group_ + first_head;
  return {.cache = step.state(run).head(kv_head),
          .q = step.q.row(r.first + token) + head * shape_.head_dim,
          .q_stride = step.q.stride,
          .tokens = tokens,
          .heads = heads,
          .position = r.position + token,
          .window = shape_.window,
          .first_key = 0,
          .last_key = r.position + r.tokens,
          .scale = shape_.scale,
          .softcap = shape_.softcap,
          .scratch = scratch};
}

// Calls task(index, worker) for every index in [0, tasks), on this thread alone or on all: whoever is free takes the
// next one, since tasks differ in size. No task's bits depend on who computes it.
template <class Task>
void Attention::spread(i64 tasks, bool alone, Context& context, Task&& task) const {
  if (alone) {
    for (i64 i = 0; i < tasks; i++) task(i, 0);
    return;
  }
  std::atomic<i64> next{0};
  context.threads.each([&](int worker) {
    for (i64 i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) task(i, worker);
  });
}

void Attention::store(const Step& step) const {
  // Groups of 16 positions are one worker's: its stores of keys share cache lines.
  for (i64 run = 0; run < step.runs(); run++) {
    const Run& r = step.run(run);
    i64 first_group = r.position / 16, groups = ceil_div<i64>(r.position + r.tokens, 16) - first_group;
    auto share = [&](i64 begin, i64 end) {
      i64 first = std::max(r.position, (first_group + begin) * 16);
      i64 last = std::min(r.position + r.tokens, (first_group + end) * 16);
      for (i64 head = 0; head < shape_.kv_heads; head++)
        step.kernels.store(step.state(run).head(head),
                           step.k.row(r.first + first - r.position) + head * shape_.head_dim, step.k.stride,
                           step.v.row(r.first + first - r.position) + head * shape_.value_dim, step.v.stride, first,
                           last - first);
    };
    if (r.tokens * shape_.kv_heads * (shape_.head_dim + shape_.value_dim) < kWorthAJoin / 8) share(0, groups);
    else step.context.threads.split(groups, share);
  }
}

void Attention::mix_few(const Step& step, bool alone) const {
  i64 spans = spans_of(step.batch);
  // Query heads of a group part ways when there are fewer tasks than workers could use; keys are then read twice.
  i64 parts = 1;
  if (!alone) parts = std::min(group_, ceil_div<i64>(kTasksPerWorker / 2 * threads_, spans * shape_.kv_heads));
  i64 heads_per_part = ceil_div(group_, parts);
  parts = ceil_div(group_, heads_per_part);

  i64 worker_size = worker_floats(group_), row_size = partial_floats(1, value_cols_);
  float* scratch = step.context.arena.take<float>(threads_ * worker_size);
  float* partials = step.context.arena.take<float>(spans * shape_.heads * row_size);
  auto partial_of = [&](i64 span, i64 head) { return partials + (span * shape_.heads + head) * row_size; };

  // The token that the span with this number in the whole step belongs to.
  struct Place {
    i64 run, token, position, span;
  };
  auto find = [&](i64 number) {
    for (i64 run = 0;; run++) {
      for (i64 t = 0; t < step.run(run).tokens; t++) {
        i64 p = step.run(run).position + t, count = last_span(p) - first_span(p);
        if (number < count) return Place{run, t, p, first_span(p) + number};
        number -= count;
      }
    }
  };
  spread(spans * shape_.kv_heads * parts, alone, step.context, [&](i64 task, int worker) {
    i64 number = task / (shape_.kv_heads * parts), kv_head = task / parts % shape_.kv_heads;
    i64 first_head = task % parts * heads_per_part, heads = std::min(heads_per_part, group_ - first_head);
    Place place = find(number);
    AttentionTile t = tile(step, place.run, place.token, 1, kv_head, first_head, heads, scratch + worker * worker_size);
    t.first_key = place.span * kSpanKeys;
    t.last_key = std::min(t.last_key, t.first_key + kSpanKeys);
    step.kernels.attend(t, partial_of(number, kv_head * group_ + first_head));
  });
  i64 number = 0;
  for (const Run& r : step.batch.runs) {
    for (i64 t = 0; t < r.tokens; t++) {
      i64 count = last_span(r.position + t) - first_span(r.position + t);
      for (i64 head = 0; head < shape_.heads; head += 1) {
        i64 in_group = head % group_;
        if (in_group % heads_per_part != 0) continue;
        i64 heads = std::min(heads_per_part, group_ - in_group);
        for (i64 span = 1; span < count; span++)
          step.kernels.merge(partial_of(number, head), partial_of(number + span, head), heads, value_cols_);
        step.kernels.finish(partial_of(number, head), 1, heads, shape_.value_dim,
                            step.y.row(r.first + t) + head * shape_.value_dim, step.y.stride);
      }
      number += count;
    }
  }
  CHECK_EQ(number, spans);
}

void Attention::mix_many(const Step& step, bool alone) const {
  i64 tile_size = tile_tokens(step.batch.tokens), rows = tile_size * group_;
  i64 scratch_size = worker_floats(rows), worker_size = scratch_size + partial_floats(rows, value_cols_);
  float* scratch = step.context.arena.take<float>(threads_ * worker_size);
  // Tasks of run i: [first_task[i], first_task[i + 1])
  i64* first_task = step.context.arena.take<i64>(step.runs() + 1);
  first_task[0] = 0;
  for (i64 i = 0; i < step.runs(); i++)
    first_task[i + 1] = first_task[i] + ceil_div(step.run(i).tokens, tile_size) * shape_.kv_heads;
  spread(first_task[step.runs()], alone, step.context, [&](i64 task, int worker) {
    i64 run = std::upper_bound(first_task, first_task + step.runs() + 1, task) - first_task - 1;
    const Run& r = step.run(run);
    i64 tiles = ceil_div(r.tokens, tile_size), index = task - first_task[run];
    // Late tiles see more keys: first, so that no worker is left with a long one at the end.
    i64 token = (tiles - 1 - index / shape_.kv_heads) * tile_size, kv_head = index % shape_.kv_heads;
    float* memory = scratch + worker * worker_size;
    float* partial = memory + scratch_size;
    AttentionTile t = tile(step, run, token, std::min(tile_size, r.tokens - token), kv_head, 0, group_, memory);
    step.kernels.attend(t, partial);
    step.kernels.finish(partial, t.tokens, t.heads, shape_.value_dim,
                        step.y.row(r.first + token) + kv_head * group_ * shape_.value_dim, step.y.stride);
  });
}

void Attention::mix(Matrix<const float> q, Matrix<const float> k, Matrix<const float> v, const Batch& batch,
                    std::span<MixerState* const> states, Matrix<float> y, Context& context) const noexcept {
  CHECK_EQ(q.cols, shape_.heads * shape_.head_dim);
  CHECK_EQ(k.cols, shape_.kv_heads * shape_.head_dim);
  CHECK_EQ(v.cols, shape_.kv_heads * shape_.value_dim);
  CHECK_EQ(y.cols, shape_.heads * shape_.value_dim);
  CHECK_EQ(states.size(), batch.runs.size());
  CHECK_LE(context.threads.count(), threads_);
  Step step{q, k, v, batch, states, y, context,
            kKernels[static_cast<int>(context.isa)][static_cast<int>(cache_)]};
  i64 multiply_adds = 0;
  for (i64 i = 0; i < step.runs(); i++) {
    const Run& r = step.run(i);
    CHECK_EQ(step.state(i).tokens(), r.position);
    CHECK_LE(r.position + r.tokens, step.state(i).max_tokens());
    multiply_adds += work(r);
  }
  store(step);
  Arena::Scope scope(context.arena);
  bool alone = multiply_adds < kWorthAJoin || context.threads.count() == 1;
  if (few(batch)) mix_few(step, alone);
  else mix_many(step, alone);
  for (i64 i = 0; i < step.runs(); i++)
    static_cast<AttentionState&>(*states[static_cast<std::size_t>(i)]).grow(step.run(i).tokens);
}

}  // namespace

std::unique_ptr<Mixer> make_attention(const AttentionShape& shape, CacheType cache, int threads) {
  CHECK_GE(shape.kv_heads, 1);
  CHECK_GE(shape.heads, shape.kv_heads);
  CHECK_EQ(shape.heads % shape.kv_heads, 0);
  CHECK_GE(shape.head_dim, 1);
  CHECK_GE(shape.value_dim, 1);
  CHECK_GE(shape.window, 0);
  CHECK_GE(threads, 1);
  return std::make_unique<Attention>(shape, cache, threads);
}

}  // namespace bitkerf
