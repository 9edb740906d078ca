// Loops, edges, threads and kernel choice of every product: written once, for all forms.
#include <algorithm>

#include "forms/product_input.h"

namespace bitkerf {

namespace {

struct Job {
  const PackedLinear* linear;
  const PanelKernels* kernels;
  const void* input;
  Matrix<float> y;
  const std::int32_t* rows;  // output i goes to column rows[i] of y; nullptr: i
  i64 addends;               // jobs behind this one whose outputs are added to its own; they are done with it
  i64 first_panel;           // in the numbering over all jobs but addends
};

// Rows of the output that the panel really has; the last panel may be short.
i64 rows_of(const Job& job, i64 panel) {
  return std::min(kPanelRows, job.linear->shape().rows - panel * kPanelRows);
}

void put(const Job& job, i64 token, i64 first_row, const float* from, i64 rows) {
  float* y = job.y.row(token);
  if (!job.rows) std::copy_n(from, rows, y + first_row);
  else
    for (i64 r = 0; r < rows; r++) y[job.rows[first_row + r]] = from[r];
}

void one_token(const Job& job, i64 first, i64 last) {
  for (i64 p = first; p < last; p++) {
    const i64 rows = rows_of(job, p);
    auto one = [&](const Job& j, float* y) { j.kernels->one(j.linear->kernel_data(), j.linear->panel(p), j.linear->shape().cols, j.input, 1, 0, y); };
    if (rows == kPanelRows && !job.rows && job.addends == 0) {
      one(job, job.y.row(0) + p * kPanelRows);
      continue;
    }
    float sum[kPanelRows], more[kPanelRows];
    one(job, sum);
    for (i64 a = 1; a <= job.addends; a++) {
      one(*(&job + a), more);
      for (i64 r = 0; r < kPanelRows; r++) sum[r] += more[r];
    }
    put(job, 0, p * kPanelRows, sum, rows);
  }
}

// Tokens that are multiplied before a panel is unpacked again: their activations of one pass (1024 bytes each) and the
// sums of kSummedPanels panels (128 bytes each) stay in 1 MiB of L2.
constexpr i64 kTokensAtOnce = 512;
constexpr i64 kSummedPanels = 4;

// One tile of `unpack`ed columns times tokens [0, tokens) of y, whose rows are panels' outputs.
void multiply_tile(const Job& job, const void* tile, i64 cols, i64 col, i64 count, i64 first_token, i64 tokens, float* y, i64 stride) {
  const PanelKernels& kernels = *job.kernels;
  for (i64 t = 0; t < tokens;) {
    i64 n = std::min<i64>(kernels.max_tokens, tokens - t);
    kernels.tile[n](tile, cols, col, count, job.input, job.y.rows, first_token + t, y + t * stride, stride);
    t += n;
  }
}

// Panels [first, last) times tokens [token, token + tokens).
void sum_panels(const Job& job, i64 first, i64 last, i64 token, i64 tokens, void* scratch, float* sums) {
  const i64 cols = round_up(job.linear->shape().cols, job.linear->input().pad), stride = (last - first) * kPanelRows;
  // Columns outside, panels inside: the activations of one pass stay in L2 while the panels go by.
  for (i64 col = 0; col < cols; col += kPassCols) {
    i64 count = std::min(kPassCols, cols - col);
    for (i64 p = first; p < last; p++) {
      const void* tile = job.kernels->unpack(job.linear->kernel_data(), job.linear->panel(p), cols, col, count, scratch);
      multiply_tile(job, tile, cols, col, count, token, tokens, sums + (p - first) * kPanelRows, stride);
    }
  }
}

// At most kSummedPanels of them. Their sums lie together in `sums` and go to y at the end, so that y (whose rows are pages
// apart) is written once, in runs of several cache lines. Behind them there is room for those of addends.
void panels_of_tokens(const Job& job, i64 first, i64 last, i64 token, i64 tokens, void* scratch, float* sums) {
  const i64 stride = (last - first) * kPanelRows;
  sum_panels(job, first, last, token, tokens, scratch, sums);
  for (i64 a = 1; a <= job.addends; a++) {
    float* more = sums + stride * tokens;
    sum_panels(*(&job + a), first, last, token, tokens, scratch, more);
    for (i64 i = 0; i < stride * tokens; i++) sums[i] += more[i];
  }
  const i64 rows = (last - first - 1) * kPanelRows + rows_of(job, last - 1);
  for (i64 t = 0; t < tokens; t++) put(job, token + t, first * kPanelRows, sums + t * stride, rows);
}

void many_tokens(const Job& job, i64 first, i64 last, void* scratch, float* sums) {
  for (i64 token = 0; token < job.y.rows; token += kTokensAtOnce)
    for (i64 p = first; p < last; p += kSummedPanels)
      panels_of_tokens(job, p, std::min(p + kSummedPanels, last), token, std::min(kTokensAtOnce, job.y.rows - token), scratch, sums);
}

i64 sums_scratch(i64 tokens, bool addends) {
  return tokens == 1 ? 0 : (addends ? 2 : 1) * kSummedPanels * std::min(tokens, kTokensAtOnce) * kPanelRows * static_cast<i64>(sizeof(float));
}

i64 tile_scratch(const PackedLinear& linear, const PanelKernels& kernels) {
  if (!kernels.unpack) return 0;
  return round_up<i64>(kernels.tile_bytes(std::min(round_up(linear.shape().cols, linear.input().pad), kPassCols)), 64);
}

const PanelKernels& choose(const PackedLinear& linear, const Context& context, i64 tokens) {
  if (!context.kernel.empty()) {
    KernelList list = linear.kernels(context.isa);
    for (const PanelKernels* kernels : list.all())
      if (kernels->name == context.kernel && kernels->takes(tokens)) return *kernels;
  }
  return linear.choose(context.isa, tokens);
}

i64 packed_parts(const Linear& linear) {
  i64 count = 0;
  for_packed(linear, [&](const PackedLinear&, PartPlace) { return ++count < 0; });
  return count;
}
i64 packed_parts(std::span<const Product> products) {
  i64 count = 0;
  for (const Product& product : products) count += packed_parts(*product.linear);
  return count;
}

// input(linear): what the kernels of this matrix read.
template <class Input>
void multiply_inputs(std::span<const Product> products, i64 tokens, i64 cols, Context& context, Input&& input) noexcept {
  Arena::Scope scope(context.arena);
  if (tokens == 0) return;
  if (cols == 0) {  // empty sums; kernels may count on a first unit
    for (const Product& product : products)
      for (i64 t = 0; t < tokens; t++) std::fill_n(product.y.row(t), product.y.cols, 0.0f);
    return;
  }

  Job* jobs = context.arena.take<Job>(packed_parts(products));
  i64 count = 0, panels = 0, scratch_bytes = 0;
  Job* summed = nullptr;  // what an addend is added to
  bool addends = false;
  auto add = [&](const PackedLinear& linear, Matrix<float> y, PartPlace place) {
    CHECK_EQ(linear.input_cols(), cols);
    CHECK_EQ(y.rows, tokens);
    const PanelKernels& kernels = choose(linear, context, tokens);
    const void* memory = input(linear);
    if (tokens == 1 && kernels.prepare) {
      bool prepared = false;
      for (i64 i = 0; i < count; i++) prepared |= jobs[i].input == memory && jobs[i].kernels->prepare == kernels.prepare;
      if (!prepared) kernels.prepare(memory, 0);
    }
    jobs[count] = {&linear, &kernels, memory, y, place.rows, 0, panels};
    if (place.adds) {
      summed->addends++;
      addends = true;
    } else {
      summed = &jobs[count];
      panels += linear.panels();
    }
    count++;
    scratch_bytes = std::max(scratch_bytes, tile_scratch(linear, kernels));
  };
  for (const Product& product : products)
    for_packed(*product.linear, [&](const PackedLinear& linear, PartPlace place) {
      add(linear, product.y.sub_cols(place.first_row, linear.shape().rows), place);
      return false;
    });

  const i64 sums_bytes = sums_scratch(tokens, addends), worker_bytes = scratch_bytes + sums_bytes;
  std::byte* scratch = tokens == 1 ? nullptr : context.arena.take<std::byte>(worker_bytes * context.threads.count());
  auto work = [&](int worker, i64 first, i64 last) {
    for (i64 i = 0; i < count; i += 1 + jobs[i].addends) {
      const Job& job = jobs[i];
      i64 a = std::max<i64>(first - job.first_panel, 0), b = std::min(last - job.first_panel, job.linear->panels());
      if (a >= b) continue;
      if (tokens == 1) one_token(job, a, b);
      else many_tokens(job, a, b, scratch + worker_bytes * worker + sums_bytes, reinterpret_cast<float*>(scratch + worker_bytes * worker));
    }
  };
  int workers = context.threads.count();
  if (workers == 1) return work(0, 0, panels);
  context.threads.each([&](int worker) { work(worker, panels * worker / workers, panels * (worker + 1) / workers); });
}

}  // namespace

void multiply(std::span<const Product> products, Matrix<const float> x, Context& context) noexcept {
  if (context.observer) context.observer->see(products, x, context);
  // Encode the input once for each encoding that some product reads.
  Arena::Scope scope(context.arena);
  const Encoding** encodings = context.arena.take<const Encoding*>(packed_parts(products));
  void** memories = context.arena.take<void*>(packed_parts(products));
  i64 known = 0;
  multiply_inputs(products, x.rows, x.cols, context, [&](const PackedLinear& linear) -> const void* {
    const Encoding& encoding = linear.input();
    for (i64 i = 0; i < known; i++)
      if (encodings[i] == &encoding) return memories[i];
    i64 bytes = encoding.bytes(x.rows, x.cols);
    if (bytes == 0) return &x;
    void* memory = context.arena.take<std::byte>(bytes);
    encoding.prepare(memory, x.rows, x.cols);
    auto encode = [&](i64 first, i64 last) { encoding.encode(context.isa, x, first, last, memory); };
    if (x.rows < 4) encode(0, x.rows);  // cheaper than a join
    else context.threads.split(x.rows, encode);
    encodings[known] = &encoding;
    memories[known++] = memory;
    return memory;
  });
}

void multiply(std::span<const Product> products, const ProductInput& input, Context& context) noexcept {
  if (context.observer) context.observer->see(products, *static_cast<const Matrix<const float>*>(input.of(float_input())), context);
  multiply_inputs(products, input.tokens(), input.cols(), context,
                  [&](const PackedLinear& linear) { return input.of(linear.input()); });
}

i64 multiply_scratch(std::span<const Linear* const> linears, i64 tokens) {
  // An upper bound: for kMaxThreads workers' tiles of the largest kind.
  i64 bytes = 0, tile = 0, parts = 0;
  bool addends = false;
  std::vector<const Encoding*> known;
  auto add = [&](const PackedLinear& p, PartPlace place) {
    parts++;
    addends |= place.adds;
    if (std::find(known.begin(), known.end(), &p.input()) == known.end()) {
      bytes += Arena::bytes_of<std::byte>(p.input().bytes(tokens, p.input_cols()));
      known.push_back(&p.input());
    }
    for (const IsaRow& isa : isas()) {
      if (!runs(isa.isa)) continue;
      KernelList list = p.kernels(isa.isa);
      for (const PanelKernels* kernels : list.all()) tile = std::max(tile, tile_scratch(p, *kernels));
    }
    return false;
  };
  for (const Linear* linear : linears) for_packed(*linear, add);
  return bytes + Arena::bytes_of<Job>(parts) + 2 * Arena::bytes_of<void*>(parts) + Arena::bytes_of<std::byte>((tile + sums_scratch(tokens, addends)) * kMaxThreads);
}

void PackedLinear::apply(Matrix<const float> x, Matrix<float> y, Context& context) const noexcept {
  Product product{this, y};
  multiply({&product, 1}, x, context);
}

void PackedLinear::expand(i64 first, Matrix<float> out) const noexcept {
  if (!transform_) return expand_stored(first, out);
  CHECK_EQ(out.cols, input_cols());
  expand_stored(first, {out.data, out.rows, shape_.cols, out.stride});  // at most as wide
  for (i64 r = 0; r < out.rows; r++) transform_->original(isa_, out.row(r), out.row(r));
}

i64 PackedLinear::scratch(i64 tokens) const {
  const Linear* self = this;
  return multiply_scratch({&self, 1}, tokens);
}

}  // namespace bitkerf
