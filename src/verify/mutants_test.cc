// Does verification find mistakes? Each row of kFaults is a kernel that is wrong in one way; all must be found. Beside it
// counts what the usual test finds: one shape, random data, |y - want| <= 0.01 + 0.01 |want|.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "core/float16.h"
#include "verify/guarded.h"
#include "verify/kernels.h"
#include "verify/problem.h"

namespace bitkerf {
namespace {

// One call of a kernel, of one() (first = 0, n = 1) or of a tile.
struct Call {
  bool one;
  Isa isa;
  const void* self;
  const std::byte* panel;  // of one()
  const void* tile;
  i64 cols, first, count;
  const void* input;
  i64 tokens, token, n;
  float* y;
  i64 stride;
};
using Inner = void (*)(const Call&);

struct Fault {
  std::string_view name;
  std::string_view format, input;
  void (*weights)(Quantized&) = nullptr;                    // what is packed instead
  void (*wrap)(Call call, Inner inner) = nullptr;           // what is called instead
  void (*unpack)(void* scratch, i64 bytes) = nullptr;       // after unpacking a tile
};

// Kernels have no state but their matrix's, and tiles not even that: one fault at a time.
struct {
  const Fault* fault;
  const PanelKernels* inner[3];
  i64 packed_bytes;
  const Encoding* input;
} now;

void call_inner(const Call& c) {
  const PanelKernels& k = *now.inner[static_cast<int>(c.isa)];
  if (c.one) k.one(c.self, c.panel, c.cols, c.input, c.tokens, c.token, c.y);
  else k.tile[c.n](c.tile, c.cols, c.first, c.count, c.input, c.tokens, c.token, c.y, c.stride);
}
template <Isa kIsa>
void one(const void* self, const std::byte* panel, i64 cols, const void* input, i64 tokens, i64 token, float* y) noexcept {
  now.fault->wrap({true, kIsa, self, panel, nullptr, cols, 0, cols, input, tokens, token, 1, y, kPanelRows}, call_inner);
}
template <Isa kIsa, int kTokens>
void tile(const void* t, i64 cols, i64 first, i64 count, const void* input, i64 tokens, i64 token, float* y, i64 stride) noexcept {
  now.fault->wrap({false, kIsa, nullptr, nullptr, t, cols, first, count, input, tokens, token, kTokens, y, stride}, call_inner);
}
template <Isa kIsa>
const void* unpack(const void* self, const std::byte* panel, i64 cols, i64 first, i64 count, void* scratch) noexcept {
  const PanelKernels& k = *now.inner[static_cast<int>(kIsa)];
  const void* t = k.unpack(self, panel, cols, first, count, scratch);
  if (now.fault->unpack) now.fault->unpack(scratch, k.tile_bytes(count));
  return t;
}
template <Isa kIsa>
PanelKernels faulty() {
  const PanelKernels& k = *now.inner[static_cast<int>(kIsa)];
  PanelKernels out = {"faulty", one<kIsa>, unpack<kIsa>, k.tile_bytes, {}, k.max_tokens};
  constexpr PanelKernels::Tile kTiles[] = {nullptr, tile<kIsa, 1>, tile<kIsa, 2>, tile<kIsa, 3>, tile<kIsa, 4>, tile<kIsa, 5>, tile<kIsa, 6>, tile<kIsa, 7>, tile<kIsa, 8>};
  for (int n = 1; n <= k.max_tokens; n++) out.tile[n] = kTiles[n];
  return out;
}

class Faulty final : public PackedLinear {
 public:
  explicit Faulty(std::unique_ptr<PackedLinear> inner)
      : PackedLinear(inner->shape(), static_cast<i64>(inner->packed_bytes().size()) / inner->panels(), inner->input(), inner->packed_bytes().data()),
        inner_(std::move(inner)) {
    now.packed_bytes = static_cast<i64>(packed_bytes().size());
    for (const IsaRow& row : isas()) now.inner[static_cast<int>(row.isa)] = inner_->kernels(row.isa).rows[0];
    kernels_[0] = faulty<Isa::portable>(), kernels_[1] = faulty<Isa::avx2>(), kernels_[2] = faulty<Isa::avx512>();
  }
  KernelList kernels(Isa isa) const override { return kernels_[static_cast<int>(isa)]; }
  const PanelKernels& choose(Isa isa, i64) const override { return kernels_[static_cast<int>(isa)]; }
  const void* kernel_data() const override { return inner_->kernel_data(); }
  std::string describe() const override { return "faulty"; }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override { inner_->expand_stored(first, out); }

 private:
  std::unique_ptr<PackedLinear> inner_;
  PanelKernels kernels_[3];
};

// --- Faults of what is packed ---

template <class Edit>
void each_code(Quantized& q, Edit&& edit) {
  for (i64 r = 0; r < q.shape().rows; r++)
    for (i64 c = 0; c < q.shape().cols; c++) edit(q.codes(r, c), r, c);
}
std::uint16_t nothing(const Quantized& q) { return static_cast<std::uint16_t>(q.format.grid.nearest(0.0f)); }
void drop_columns(Quantized& q, i64 from, i64 to) {
  each_code(q, [&](std::uint16_t& code, i64, i64 c) {
    if (c >= from && c < to) code = nothing(q);
  });
}
i64 last_group(const Quantized& q) { return q.scales.cols() - 1; }

// --- Faults of calls ---

// The head of the encoded input, with arrays that may be written.
struct EditedRows : IntRows {
  std::vector<std::int8_t> codes, lows;
  std::vector<float> scales, scaled;
  std::vector<std::int32_t> before, sums;
  EditedRows(const Call& c) : IntRows(*static_cast<const IntRows*>(c.input)) {
    codes.assign(q, q + c.tokens * cols);
    if (low) lows.assign(low, low + c.tokens * cols);
    scales.assign(scale, scale + c.tokens * groups);
    scaled.assign(scaled_sum, scaled_sum + c.tokens * groups);
    before.assign(minus_before, minus_before + c.tokens * (units + 1));
    sums.assign(minus_sum16, minus_sum16 + c.tokens * units * 2);
    q = codes.data(), low = low ? lows.data() : nullptr, scale = scales.data(), scaled_sum = scaled.data(), minus_before = before.data(), minus_sum16 = sums.data();
  }
};
template <class Edit>
void with_rows(Call c, Inner inner, Edit&& edit) {
  EditedRows rows(c);
  edit(rows);
  c.input = static_cast<const IntRows*>(&rows);
  inner(c);
}
template <class Edit>
void each_output(const Call& c, Edit&& edit) {
  for (i64 t = 0; t < c.n; t++)
    for (i64 r = 0; r < kPanelRows; r++) edit(c.y[t * c.stride + r], t, r);
}
// Changes outputs when the last columns have been added.
template <class Edit>
void after(const Call& c, Inner inner, Edit&& edit) {
  inner(c);
  if (c.first + c.count >= c.cols) each_output(c, edit);
}
float next(float v) { return std::nextafter(v, INFINITY); }
volatile std::byte sink;

#define INT4 "int4.f32.g64", "int8.g64"
const Fault kFaults[] = {
    {"last K tile dropped", INT4, [](Quantized& q) { drop_columns(q, q.shape().cols / 32 * 32, q.shape().cols); }},
    {"last column dropped when odd", INT4, [](Quantized& q) { if (q.shape().cols % 2) drop_columns(q, q.shape().cols - 1, q.shape().cols); }},
    {"columns behind 1024 dropped: shape hard-coded", INT4, [](Quantized& q) { drop_columns(q, 1024, q.shape().cols); }},
    {"rows behind 64 are those of the first 64: shape hard-coded", INT4, [](Quantized& q) {
       each_code(q, [&](std::uint16_t& code, i64 r, i64 c) { code = q.codes(r % 64, c); });
     }},
    {"zero point ignored", "uint4.g64", "int8.g64", [](Quantized& q) { for (float& m : std::span(q.minima.view().data, static_cast<std::size_t>(q.minima.rows() * q.minima.cols()))) m = 0; }},
    {"minimum of the group before the last reused", "uint4.g64", "int8.g64", [](Quantized& q) { for (i64 r = 0; r < q.minima.rows(); r++) q.minima(r, last_group(q)) = q.minima(r, std::max<i64>(0, last_group(q) - 1)); }},
    {"minima rounded to bfloat16", "uint4.f32.g64", "int8.g64", [](Quantized& q) { for (i64 r = 0; r < q.minima.rows(); r++) for (i64 g = 0; g <= last_group(q); g++) q.minima(r, g) = scale_type("bf16").round(q.minima(r, g)); }},
    {"last scale reused", INT4, [](Quantized& q) { for (i64 r = 0; r < q.scales.rows(); r++) q.scales(r, last_group(q)) = q.scales(r, std::max<i64>(0, last_group(q) - 1)); }},
    {"scale of a tail group is that of the first", INT4, [](Quantized& q) { if (q.shape().cols % 64) for (i64 r = 0; r < q.scales.rows(); r++) q.scales(r, last_group(q)) = q.scales(r, 0); }},
    {"scales of the two halves of a panel swapped", INT4, [](Quantized& q) {
       for (i64 r = 0; r < q.scales.rows(); r++) if (r % 32 < 16 && r + 16 < q.scales.rows()) for (i64 g = 0; g <= last_group(q); g++) std::swap(q.scales(r, g), q.scales(r + 16, g));
     }},
    {"scales of the last row of a short panel swapped with the row before", INT4, [](Quantized& q) {
       i64 r = q.scales.rows() - 1;
       if (r % 32 != 31 && r > 0) for (i64 g = 0; g <= last_group(q); g++) std::swap(q.scales(r, g), q.scales(r - 1, g));
     }},
    {"scales rounded to float16", INT4, [](Quantized& q) { for (i64 r = 0; r < q.scales.rows(); r++) for (i64 g = 0; g <= last_group(q); g++) q.scales(r, g) = scale_type("f16").round(q.scales(r, g)); }},
    {"tensor scale ignored", "nvint4", "int8.g32", [](Quantized& q) { q.tensor_scale = 1; }},
    {"wrong plane weight: sign plane", INT4, [](Quantized& q) { each_code(q, [](std::uint16_t& code, i64, i64) { code |= 8; }); }},
    {"lowest plane not read", "int8.f32.g64", "int8.g64", [](Quantized& q) { each_code(q, [](std::uint16_t& code, i64, i64) { code &= 0xfe; }); }},
    {"two planes swapped in the last unit of odd rows", "int8.f32.g64", "int8.g64", [](Quantized& q) {
       each_code(q, [&](std::uint16_t& code, i64 r, i64 c) {
         if (r % 2 && c >= (q.shape().cols - 1) / 32 * 32 && c % 32 == 31) code = static_cast<std::uint16_t>((code & 0xfc) | (code & 1) << 1 | (code >> 1 & 1));
       });
     }},
    {"lowest code read as the next", "int8.f32.g64", "int8.g64", [](Quantized& q) { each_code(q, [](std::uint16_t& code, i64, i64) { code = std::max<std::uint16_t>(code, 1); }); }},
    {"one code of the last row wrong", "int8.f32.g64", "int8.g64", [](Quantized& q) { q.codes(q.shape().rows - 1, q.shape().cols - 1) ^= 1; }},
    {"index off by one: a row's last code is the next row's", INT4, [](Quantized& q) { for (i64 r = 0; r + 1 < q.shape().rows; r++) q.codes(r, q.shape().cols - 1) = q.codes(r + 1, q.shape().cols - 1); }},
    {"first column dropped in short panels", INT4, [](Quantized& q) { if (q.shape().rows % 32) drop_columns(q, 0, 1); }},

    {"correction term missing", INT4, nullptr, [](Call c, Inner f) { with_rows(c, f, [](EditedRows& x) { std::fill(x.before.begin(), x.before.end(), 0); }); }},
    {"correction term of 16 columns missing", "int4.f32.g16", "int8.g32", nullptr, [](Call c, Inner f) { with_rows(c, f, [](EditedRows& x) { std::fill(x.sums.begin(), x.sums.end(), 0); }); }},
    {"correction term of the last unit missing", INT4, nullptr, [](Call c, Inner f) { with_rows(c, f, [&](EditedRows& x) {
       if (x.units > 1 && x.units % 2) for (i64 t = 0; t < c.tokens; t++) x.before[static_cast<std::size_t>(t * (x.units + 1) + x.units)] = x.before[static_cast<std::size_t>(t * (x.units + 1) + x.units - 1)];
     }); }},
    {"activations' last scale reused", "int4.f32.g64", "int8.g32", nullptr, [](Call c, Inner f) { with_rows(c, f, [&](EditedRows& x) {
       if (x.groups > 1) for (i64 t = 0; t < c.tokens; t++) x.scale[t * x.groups + x.groups - 1] = x.scale[t * x.groups + x.groups - 2];
     }); }},
    {"scale of the first token for all", "int4.f32.g64", "int8.row", nullptr, [](Call c, Inner f) { with_rows(c, f, [](EditedRows& x) { std::fill(x.scales.begin(), x.scales.end(), x.scales[0]); }); }},
    {"scales of two tokens swapped behind the tenth", "int4.f32.g64", "int8.row", nullptr, [](Call c, Inner f) { with_rows(c, f, [&](EditedRows& x) { if (c.tokens > 11) std::swap(x.scales[10], x.scales[11]); }); }},
    {"low part of 16-bit activations ignored", "int4.f32.g64", "int16.g64", nullptr, [](Call c, Inner f) { with_rows(c, f, [](EditedRows& x) { std::fill(x.lows.begin(), x.lows.end(), std::int8_t{0}); }); }},
    {"code -127 read as -126", INT4, nullptr, [](Call c, Inner f) { with_rows(c, f, [](EditedRows& x) { for (auto& q : x.codes) q = std::max<std::int8_t>(q, -126); }); }},
    {"last token of a full tile is the one before", INT4, nullptr, [](Call c, Inner f) { after(c, f, [&](float& y, i64 t, i64) { if (!c.one && t == c.n - 1 && c.n >= 6) y = *(&y - c.stride); }); }},
    {"a single token left over is lost", INT4, nullptr, [](Call c, Inner f) { if (!c.one && c.n == 1 && c.token > 0) each_output(c, [](float& y, i64, i64) { y = 0; }); else f(c); }},
    {"token 512 wraps to 0", INT4, nullptr, [](Call c, Inner f) {
       f(c);
       if (!c.one && c.token + c.n > 512) { Call d = c; d.n = 1; d.token = 0; d.y = c.y + (512 - c.token) * c.stride; if (d.y >= c.y) f(d); }
     }},
    {"one() adds to what it should set", INT4, nullptr, [](Call c, Inner f) {
       float old[kPanelRows];
       std::copy_n(c.y, kPanelRows, old);
       f(c);
       if (c.one) each_output(c, [&](float& y, i64, i64 r) { y += old[r]; });
     }},
    {"a tile's first pass adds", INT4, nullptr, [](Call c, Inner f) {
       std::vector<float> old(static_cast<std::size_t>(c.n * kPanelRows));
       each_output(c, [&](float& y, i64 t, i64 r) { old[static_cast<std::size_t>(t * kPanelRows + r)] = y; });
       f(c);
       if (!c.one && c.first == 0) each_output(c, [&](float& y, i64 t, i64 r) { float v = old[static_cast<std::size_t>(t * kPanelRows + r)]; y += std::isnan(v) ? 0 : v; if (std::isnan(v)) y = v; });
     }},
    {"a tile's second pass forgets the first", INT4, nullptr, [](Call c, Inner f) { if (c.first > 0) each_output(c, [](float& y, i64, i64) { y = 0; }); f(c); }},
    {"row 31 of a panel not written by tiles", INT4, nullptr, [](Call c, Inner f) {
       std::vector<float> old;
       for (i64 t = 0; t < c.n; t++) old.push_back(c.y[t * c.stride + 31]);
       f(c);
       if (!c.one && c.n == 5) for (i64 t = 0; t < c.n; t++) c.y[t * c.stride + 31] = old[static_cast<std::size_t>(t)];
     }},
    {"writes a 33rd row", INT4, nullptr, [](Call c, Inner f) { f(c); if (!c.one) c.y[(c.n - 1) * c.stride + 32] = 0; }},
    {"reads a byte behind the weights", INT4, nullptr, [](Call c, Inner f) { f(c); if (c.one) sink = c.panel[now.packed_bytes]; }},
    {"reads four bytes in front of the weights", INT4, nullptr, [](Call c, Inner f) { f(c); if (c.one) sink = c.panel[-4]; }},
    {"reads 65 bytes behind the encoded input", INT4, nullptr, [](Call c, Inner f) { f(c); sink = static_cast<const std::byte*>(c.input)[now.input->bytes(c.tokens, c.cols) + 64]; }},
    {"writes behind its scratch", INT4, nullptr, [](Call c, Inner f) { f(c); }, [](void* scratch, i64 bytes) { static_cast<char*>(scratch)[round_up<i64>(bytes, 64)] = 0; }},
    {"uses the encoded input as scratch", INT4, nullptr, [](Call c, Inner f) { f(c); static_cast<const IntRows*>(c.input)->minus_sum16[0] += 1; }},
    {"returns what the last call with the same addresses gave", INT4, nullptr, [](Call c, Inner f) {
       struct Entry { const void *a, *b, *y; i64 token, n, first; std::vector<float> out; };
       static std::vector<Entry> memory;
       if (c.first > 0) return f(c);
       const void* weights = c.one ? static_cast<const void*>(c.panel) : c.tile;
       for (const Entry& e : memory)
         if (e.a == weights && e.b == c.input && e.y == c.y && e.token == c.token && e.n == c.n) return each_output(c, [&](float& y, i64 t, i64 r) { y = e.out[static_cast<std::size_t>(t * kPanelRows + r)]; });
       f(c);
       Entry e{weights, c.input, c.y, c.token, c.n, c.first, {}};
       each_output(c, [&](float& y, i64, i64) { e.out.push_back(y); });
       if (memory.size() < 64) memory.push_back(std::move(e));
     }},
    {"sums in float16", INT4, nullptr, [](Call c, Inner f) { after(c, f, [](float& y, i64, i64) { y = std::fabs(y) < 6e4f ? scale_type("f16").round(y) : y; }); }},
    {"sums in bfloat16", INT4, nullptr, [](Call c, Inner f) { after(c, f, [](float& y, i64, i64) { y = scale_type("bf16").round(y); }); }},
    {"NaN swallowed", INT4, nullptr, [](Call c, Inner f) { after(c, f, [](float& y, i64, i64) { if (std::isnan(y)) y = 0; }); }},
    {"infinity becomes the largest number", INT4, nullptr, [](Call c, Inner f) { after(c, f, [](float& y, i64, i64) { if (!std::isfinite(y)) y = 3e38f; }); }},
    {"race under two threads: one shared buffer", INT4, nullptr, [](Call c, Inner f) {
       static std::atomic<float> shared[kPanelRows];
       f(c);
       if (c.n > 1) return;
       each_output(c, [](float& y, i64, i64 r) { shared[r] = y; });
       auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(60);
       while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
       each_output(c, [](float& y, i64, i64 r) { y = shared[r]; });
     }},
    {"another order of sums for two tokens", INT4, nullptr, [](Call c, Inner f) { after(c, f, [&](float& y, i64, i64) { if (c.n == 2) y = next(y); }); }},
    {"result depends on the output's address", INT4, nullptr, [](Call c, Inner f) { after(c, f, [&](float& y, i64, i64) { if (reinterpret_cast<std::uintptr_t>(c.y) % 64 == 32) y = next(y); }); }},
    {"two runs differ in the last bit", INT4, nullptr, [](Call c, Inner f) { static unsigned calls = 0; calls++; after(c, f, [&](float& y, i64, i64) { if (calls % 7 == 3) y = next(y); }); }},
    {"outputs below 0.01 are 0", INT4, nullptr, [](Call c, Inner f) { after(c, f, [](float& y, i64, i64) { if (std::fabs(y) < 0.01f) y = 0; }); }},
    {"outputs end at 65504", INT4, nullptr, [](Call c, Inner f) { after(c, f, [](float& y, i64, i64) { if (!std::isnan(y)) y = std::clamp(y, -65504.0f, 65504.0f); }); }},
    {"outputs below 1e-30 flushed", INT4, nullptr, [](Call c, Inner f) { after(c, f, [](float& y, i64, i64) { if (std::fabs(y) < 1e-30f) y = 0; }); }},
    {"wrong on one instruction set only", INT4, nullptr, [](Call c, Inner f) { after(c, f, [&](float& y, i64, i64 r) { if (c.isa == Isa::portable && r == 17) y = -y; }); }},
    {"always 0", INT4, nullptr, [](Call c, Inner) { each_output(c, [](float& y, i64, i64) { y = 0; }); }},
    {"float: NaN times 0 skipped", "int4.f32.g64", "f32", nullptr, [](Call c, Inner f) {
       const auto& x = *static_cast<const Matrix<const float>*>(c.input);
       OwnedMatrix<float> clean(x.rows, x.cols);
       for (i64 t = 0; t < x.rows; t++) for (i64 i = 0; i < x.cols; i++) clean(t, i) = std::isnan(x(t, i)) ? 0 : x(t, i);
       Matrix<const float> view = clean.view();
       c.input = &view;
       f(c);
     }},
    {"float: activations rounded to bfloat16", "int4.f32.g64", "f32", nullptr, [](Call c, Inner f) {
       const auto& x = *static_cast<const Matrix<const float>*>(c.input);
       OwnedMatrix<float> rounded(x.rows, x.cols);
       for (i64 t = 0; t < x.rows; t++) for (i64 i = 0; i < x.cols; i++) rounded(t, i) = scale_type("bf16").round(x(t, i));
       Matrix<const float> view = rounded.view();
       c.input = &view;
       f(c);
     }},
    {"float: reads x by its width, not its stride", "int4.f32.g64", "f32", nullptr, [](Call c, Inner f) {
       Matrix<const float> x = *static_cast<const Matrix<const float>*>(c.input);
       x.stride = x.cols;
       c.input = &x;
       f(c);
     }},
};

Subject faulty_subject(const Fault& fault) {
  const Encoding& input = encoding(fault.input);
  const FormRow& row = form(input.bits == 0 ? "dense" : "bit_planes");
  Subject subject{&row, std::string(fault.format), nullptr, &input};
  subject.pack = [&row, &fault](const Quantized& q, const Encoding& input, Threads& threads) -> std::unique_ptr<PackedLinear> {
    now.fault = &fault;
    now.input = &input;
    if (!fault.weights || q.shape().cols == 0) return std::make_unique<Faulty>(row.pack(q, input, threads));
    Quantized edited = Quantized::zeros(q.format, q.shape());
    edited.tensor_scale = q.tensor_scale;
    std::copy_n(q.codes.view().data, q.codes.rows() * q.codes.cols(), edited.codes.view().data);
    std::copy_n(q.scales.view().data, q.scales.rows() * q.scales.cols(), edited.scales.view().data);
    std::copy_n(q.minima.view().data, q.minima.rows() * q.minima.cols(), edited.minima.view().data);
    fault.weights(edited);
    return row.pack(edited, input, threads);
  };
  return subject;
}

// What a benchmark of kernels usually asks: is it close at one shape?
bool allclose_finds(const Subject& subject) {
  std::mt19937 random(7);
  Threads threads(1);
  Weights weights = make_weights(subject, {64, 256}, WeightPattern::ordinary, random);
  Problem p = make_problem(subject, std::move(weights), make_input(*subject.input, 8, 256, InputPattern::ordinary, random), threads);
  Arena arena(p.linear->scratch(8));
  Context context{threads, arena, chosen_isa()};
  OwnedMatrix<float> y(8, 64);
  if (!survives([&] { p.linear->apply(p.x.view(), y.view(), context); })) return true;
  for (i64 t = 0; t < 8; t++)
    for (i64 r = 0; r < 64; r++)
      if (!(std::fabs(y(t, r) - p.verdict(t, r).want) <= 0.01 + 0.01 * std::fabs(p.verdict(t, r).want))) return true;
  return false;
}

TEST(SeededFaults, AreAllFound) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer finds some of them first, and stops the program";
#endif
  static_assert(std::size(kFaults) >= 40);
  int found = 0, by_allclose = 0;
  for (const Fault& fault : kFaults) {
    Subject subject = faulty_subject(fault);
    std::string how;
    for (const KernelCase& row : verify_kernels(subject, {}))
      if (how.empty() && !row.wrong.empty()) how = std::string(row.check) + ": " + row.wrong;
    bool close = !allclose_finds(subject);
    by_allclose += !close;
    found += !how.empty();
    EXPECT_NE(how, "") << fault.name;
    std::fflush(stdout);
    std::printf("%-70s %-8s %s\n", std::string(fault.name).c_str(), close ? "" : "allclose", how.c_str());
  }
  const double share = static_cast<double>(by_allclose) / static_cast<double>(std::size(kFaults));
  std::printf("%d of %zu found; allclose at one shape finds %d (%.0f %%)\n", found, std::size(kFaults), by_allclose, 100 * share);
  EXPECT_LT(share, 0.6);
}

// And good kernels are called good through the same wrapper.
TEST(SeededFaults, NoFaultIsFoundWhereNoneIs) {
  static const Fault none = {"none", INT4, nullptr, [](Call c, Inner f) { f(c); }};
  for (const KernelCase& row : verify_kernels(faulty_subject(none), {})) EXPECT_EQ(row.wrong, "") << row.kernel << ' ' << row.check;
}

}  // namespace
}  // namespace bitkerf
