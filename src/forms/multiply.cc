// Loops, edges, threads and kernel choice of every product: written once, for all forms.
#include <algorithm>

#include "forms/packed.h"

namespace bitkerf {
namespace {

constexpr i64 kMaxProducts = 8;

struct Job {
  const PackedLinear* linear;
  const PanelKernels* kernels;
  const void* input;
  Matrix<float> y;
  i64 first_panel;  // in the numbering over all jobs
};

const PackedLinear& packed(const Linear& linear) {
  auto* p = dynamic_cast<const PackedLinear*>(&linear);
  CHECK(p != nullptr);
  return *p;
}

// Rows of the output that the panel really has; the last panel may be short.
i64 rows_of(const Job& job, i64 panel) {
  return std::min(kPanelRows, job.linear->shape().rows - panel * kPanelRows);
}

void one_token(const Job& job, i64 first, i64 last) {
  for (i64 p = first; p < last; p++) {
    i64 rows = rows_of(job, p);
    float edge[kPanelRows];
    float* y = job.y.row(0) + p * kPanelRows;
    job.kernels->one(job.linear->kernel_data(), job.linear->panel(p), job.linear->shape().cols, job.input, 1, 0, rows == kPanelRows ? y : edge);
    if (rows < kPanelRows) std::copy_n(edge, rows, y);
  }
}

void many_tokens(const Job& job, i64 first, i64 last, void* scratch) {
  const PanelKernels& kernels = *job.kernels;
  i64 tokens = job.y.rows, cols = round_up(job.linear->shape().cols, job.linear->input().pad);
  // Columns outermost: the activations of one pass (tokens x 1024 bytes) stay in L2 while all panels go by.
  for (i64 col = 0; col < cols; col += kPassCols) {
    i64 count = std::min(kPassCols, cols - col);
    for (i64 p = first; p < last; p++) {
      const void* tile = kernels.unpack(job.linear->kernel_data(), job.linear->panel(p), cols, col, count, scratch);
      i64 rows = rows_of(job, p);
      for (i64 t = 0; t < tokens;) {
        i64 n = std::min<i64>(kernels.max_tokens, tokens - t);
        float* y = job.y.row(t) + p * kPanelRows;
        if (rows == kPanelRows) {
          kernels.tile[n](tile, cols, col, count, job.input, tokens, t, y, job.y.stride);
        } else {
          float edge[kMaxTokens * kPanelRows];
          for (i64 i = 0; i < n; i++) std::copy_n(y + i * job.y.stride, rows, edge + i * kPanelRows);
          kernels.tile[n](tile, cols, col, count, job.input, tokens, t, edge, kPanelRows);
          for (i64 i = 0; i < n; i++) std::copy_n(edge + i * kPanelRows, rows, y + i * job.y.stride);
        }
        t += n;
      }
    }
  }
}

i64 tile_scratch(const PackedLinear& linear, const PanelKernels& kernels) {
  return round_up<i64>(kernels.tile_bytes(std::min(round_up(linear.shape().cols, linear.input().pad), kPassCols)), 64);
}

const PanelKernels& choose(const PackedLinear& linear, const Context& context, i64 tokens) {
  if (!context.kernel.empty()) {
    KernelList list = linear.kernels(context.isa);
    for (const PanelKernels* kernels : list.all())
      if (kernels->name == context.kernel) return *kernels;
  }
  return linear.choose(context.isa, tokens);
}

}  // namespace

void multiply(std::span<const Product> products, Matrix<const float> x, Context& context) noexcept {
  CHECK_LE(static_cast<i64>(products.size()), kMaxProducts);
  Arena::Scope scope(context.arena);
  i64 tokens = x.rows;
  if (tokens == 0) return;

  // Encode the input once for each encoding that some product reads.
  Job jobs[kMaxProducts];
  i64 count = 0, panels = 0, scratch_bytes = 0;
  for (const Product& product : products) {
    const PackedLinear& linear = packed(*product.linear);
    CHECK_EQ(linear.shape().cols, x.cols);
    const PanelKernels& kernels = choose(linear, context, tokens);
    const Encoding& encoding = linear.input();
    const void* input = nullptr;
    for (i64 i = 0; i < count; i++)
      if (&jobs[i].linear->input() == &encoding) input = jobs[i].input;
    if (!input) {
      i64 bytes = encoding.bytes(tokens, x.cols);
      if (bytes == 0) {
        input = &x;
      } else {
        void* memory = context.arena.take<std::byte>(bytes);
        encoding.prepare(memory, tokens, x.cols);
        auto encode = [&](i64 first, i64 last) { encoding.encode(context.isa, x, first, last, memory); };
        if (tokens < 4) encode(0, tokens);  // cheaper than a join
        else context.threads.split(tokens, encode);
        input = memory;
      }
    }
    jobs[count++] = {&linear, &kernels, input, product.y, panels};
    panels += linear.panels();
    scratch_bytes = std::max(scratch_bytes, tile_scratch(linear, kernels));
  }

  std::byte* scratch = tokens == 1 ? nullptr : context.arena.take<std::byte>(scratch_bytes * context.threads.count());
  auto work = [&](int worker, i64 first, i64 last) {
    for (i64 i = 0; i < count; i++) {
      const Job& job = jobs[i];
      i64 a = std::max<i64>(first - job.first_panel, 0), b = std::min(last - job.first_panel, job.linear->panels());
      if (a >= b) continue;
      if (tokens == 1) one_token(job, a, b);
      else many_tokens(job, a, b, scratch + scratch_bytes * worker);
    }
  };
  int workers = context.threads.count();
  if (workers == 1) return work(0, 0, panels);
  context.threads.each([&](int worker) { work(worker, panels * worker / workers, panels * (worker + 1) / workers); });
}

i64 multiply_scratch(std::span<const Linear* const> linears, i64 tokens) {
  // An upper bound: as if every product had its own encoding, and for kMaxThreads workers' tiles of the largest kind.
  i64 bytes = 0, tile = 0;
  for (const Linear* linear : linears) {
    const PackedLinear& p = packed(*linear);
    bytes += Arena::bytes_of<std::byte>(p.input().bytes(tokens, p.shape().cols));
    for (const IsaRow& isa : isas()) {
      KernelList list = p.kernels(isa.isa);
      for (const PanelKernels* kernels : list.all()) tile = std::max(tile, tile_scratch(p, *kernels));
    }
  }
  return bytes + Arena::bytes_of<std::byte>(tile * kMaxThreads);
}

void PackedLinear::apply(Matrix<const float> x, Matrix<float> y, Context& context) const noexcept {
  Product product{this, y};
  multiply({&product, 1}, x, context);
}

i64 PackedLinear::scratch(i64 tokens) const {
  const Linear* self = this;
  return multiply_scratch({&self, 1}, tokens);
}

}  // namespace bitkerf
