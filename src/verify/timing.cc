#include "verify/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>

#include <immintrin.h>

#include <fmt/format.h>

#include "core/context.h"
#include "verify/problem.h"

namespace bitkerf {
namespace {

constexpr i64 kRows = 64, kCols = 256, kPool = 16;

double ticks_per_nanosecond() {
  static const double kRate = [] {
    auto start = std::chrono::steady_clock::now();
    unsigned long long from = __rdtsc();
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(20)) {}
    auto to = __rdtsc();
    return static_cast<double>(to - from) / std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
  }();
  return kRate;
}

// The operands of the classes lie in pools. Before each call one of each is read and one of them is chosen by a mask, so
// that all addresses and what the caches hold are the same for both.
struct Experiment {
  std::vector<std::vector<std::byte>> pool[2];
  std::byte* place;
  std::function<void()> call;
};

TwoTimes measure(const Experiment& e, i64 calls, std::mt19937& random) {
  TwoTimes times;
  times.a.reserve(static_cast<std::size_t>(calls)), times.b.reserve(static_cast<std::size_t>(calls));
  for (i64 i = -200; i < calls; i++) {
    const unsigned draw = random(), which = draw & 1;
    const std::byte *a = e.pool[0][(draw >> 1) % kPool].data(), *b = e.pool[1][(draw >> 1) % kPool].data();
    const auto mask = static_cast<std::byte>(0u - which);
    for (std::size_t at = 0; at < e.pool[0][0].size(); at++) e.place[at] = (a[at] & ~mask) | (b[at] & mask);
    unsigned core;
    _mm_lfence();
    const unsigned long long from = __rdtsc();
    _mm_lfence();
    e.call();
    const unsigned long long to = __rdtscp(&core);
    _mm_lfence();
    if (i < 0) continue;  // warm-up
    (which ? times.b : times.a).push_back(static_cast<double>(to - from));
  }
  return times;
}

TimingCase judge(TimingCase c, const Experiment& e, const TimingOptions& options) {
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string>()(c.kernel + c.classes)));
  c.ok = true;
  std::vector<double> a, b;
  for (int run = 0; run < options.runs; run++) {
    WelchT t = welch(measure(e, options.calls, random));
    const double larger = std::fabs(t.raw) > std::fabs(t.squared) ? t.raw : t.squared;
    c.runs.push_back(larger);
    a.push_back(t.mean_a / ticks_per_nanosecond()), b.push_back(t.mean_b / ticks_per_nanosecond());
    c.ok &= c.control ? std::fabs(larger) > kLeastControlT : std::fabs(larger) < kMostT;
  }
  std::vector<double> sorted = c.runs;
  std::sort(sorted.begin(), sorted.end(), [](double x, double y) { return std::fabs(x) < std::fabs(y); });
  c.t = sorted[sorted.size() / 2];
  std::sort(a.begin(), a.end()), std::sort(b.begin(), b.end());
  c.nanoseconds_a = a[a.size() / 2], c.nanoseconds_b = b[b.size() / 2];
  return c;
}

std::vector<std::byte> bytes_of(const void* data, std::size_t n) {
  auto* from = static_cast<const std::byte*>(data);
  return {from, from + n};
}

struct InputClass {
  std::string_view name;
  void (*fill)(float* x, i64 n, std::mt19937& random);
};
void fill_normal(float* x, i64 n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  for (i64 i = 0; i < n; i++) x[i] = normal(random);
}
constexpr InputClass kInputs[] = {
    {"x zero", [](float* x, i64 n, std::mt19937&) { std::fill_n(x, n, 0.0f); }},
    {"x one-hot", [](float* x, i64 n, std::mt19937&) { std::fill_n(x, n, 0.0f), x[n / 3] = 1; }},
    {"x subnormal", [](float* x, i64 n, std::mt19937& random) {
       fill_normal(x, n, random);
       for (i64 i = 0; i < n; i++) x[i] *= 1e-40f;
     }},
    {"x 90 % zero", [](float* x, i64 n, std::mt19937& random) {
       fill_normal(x, n, random);
       for (i64 i = 0; i < n; i++) x[i] = i % 10 == 3 ? x[i] : 0;
     }},
};

Experiment input_experiment(const InputClass& a, i64 floats, float* place, std::function<void()> call) {
  Experiment e{{}, reinterpret_cast<std::byte*>(place), std::move(call)};
  std::mt19937 random(5);
  std::vector<float> x(static_cast<std::size_t>(floats)), constant(static_cast<std::size_t>(floats));
  a.fill(constant.data(), floats, random);
  for (i64 i = 0; i < kPool; i++) {
    fill_normal(x.data(), floats, random);
    e.pool[0].push_back(bytes_of(constant.data(), constant.size() * 4));
    e.pool[1].push_back(bytes_of(x.data(), x.size() * 4));
  }
  return e;
}

// Panels at a place of ours.
class Placed final : public PackedLinear {
 public:
  Placed(const PackedLinear& inner, const std::byte* bytes)
      : PackedLinear(inner.shape(), static_cast<i64>(inner.packed_bytes().size()) / inner.panels(), inner.input(), bytes), inner_(inner) {}
  KernelList kernels(Isa isa) const override { return inner_.kernels(isa); }
  const void* kernel_data() const override { return inner_.kernel_data(); }
  std::string describe() const override { return inner_.describe(); }
  void expand_stored(i64 first, Matrix<float> out) const noexcept override { inner_.expand_stored(first, out); }

 private:
  const PackedLinear& inner_;
};

// What must be noticed. Compiled as they stand: no vector code may turn their branches into masks.
#pragma GCC push_options
#pragma GCC optimize("no-tree-vectorize,no-if-conversion,no-if-conversion2")
[[gnu::noinline]] void zero_skipping(const float* w, const float* x, float* y) {
  std::fill_n(y, kRows, 0.0f);
  for (i64 c = 0; c < kCols; c++) {
    if (x[c] == 0) continue;
    for (i64 r = 0; r < kRows; r++) y[r] += w[c * kRows + r] * x[c];
  }
}
// A chain of roundings that stays subnormal when it begins so.
[[gnu::noinline]] void subnormal_chain(const float*, const float* x, float* y) {
  float sum = 0;
  for (i64 c = 0; c < kCols; c++) sum = __builtin_sqrtf(x[c] * x[c]) * 0.999f + x[c] / 3.0f;
  y[0] = sum;
}
// Half of the neurons computed only where the gate is open.
[[gnu::noinline]] void core_neurons(const float* w, const float* x, float* y) {
  for (i64 r = 0; r < kRows; r++) {
    float gate = 0, sum = 0;
    for (i64 c = 0; c < 8; c++) gate += w[r * kCols + c] * x[c];
    if (gate > 0)
      for (i64 c = 8; c < kCols; c++) sum += w[r * kCols + c] * x[c];
    y[r] = sum;
  }
}
#pragma GCC pop_options

struct Control {
  std::string_view name;
  std::size_t input;  // of kInputs
  void (*call)(const float* w, const float* x, float* y);
};
constexpr Control kControls[] = {
    {"control: zero-skipping product", 3, zero_skipping},
    {"control: subnormal-slow floats", 2, subnormal_chain},
    {"control: only open neurons", 0, core_neurons},
};

}  // namespace

WelchT welch(TwoTimes times) {
  std::vector<double> all = times.a;
  all.insert(all.end(), times.b.begin(), times.b.end());
  const auto cut_at = all.begin() + static_cast<std::ptrdiff_t>(all.size() * 95 / 100);
  std::nth_element(all.begin(), cut_at, all.end());
  const double cut = *cut_at;
  struct Moments { double n = 0, mean = 0, variance = 0; };
  auto moments = [](const std::vector<double>& v) {
    Moments m{static_cast<double>(v.size()), 0, 0};
    for (double x : v) m.mean += x / m.n;
    for (double x : v) m.variance += (x - m.mean) * (x - m.mean) / (m.n - 1);
    return m;
  };
  auto t = [](const Moments& a, const Moments& b) {
    const double error = std::sqrt(a.variance / a.n + b.variance / b.n);
    return error > 0 ? (a.mean - b.mean) / error : 0;
  };
  WelchT result{};
  Moments raw[2], squared[2];
  for (int i = 0; i < 2; i++) {
    std::vector<double>& v = i ? times.b : times.a;
    std::erase_if(v, [&](double x) { return x > cut; });
    raw[i] = moments(v);
    for (double& x : v) x = (x - raw[i].mean) * (x - raw[i].mean);
    squared[i] = moments(v);
  }
  result.raw = t(raw[0], raw[1]), result.squared = t(squared[0], squared[1]);
  result.mean_a = raw[0].mean, result.mean_b = raw[1].mean;
  return result;
}

std::vector<TimingCase> verify_timing(const TimingOptions& options, const std::function<void(const TimingCase&)>& done) {
  std::vector<TimingCase> cases;
  auto add = [&](TimingCase c, const Experiment& e) {
    cases.push_back(judge(std::move(c), e, options));
    done(cases.back());
  };
  const unsigned mode = _mm_getcsr();
  Threads one(1);
  std::mt19937 random(3);

  OwnedMatrix<float> w(kRows, kCols), x(8, kCols), y(8, kRows);
  fill_normal(w.view().data, kRows * kCols, random);
  for (const Control& control : kControls) {
    float *from = x.view().data, *to = y.view().data;
    const float* weights = w.view().data;
    TimingCase c;
    c.kernel = control.name, c.classes = kInputs[control.input].name, c.control = true;
    add(c, input_experiment(kInputs[control.input], kCols, from, [&] { control.call(weights, from, to); }));
  }

  if (options.flush_subnormals) _mm_setcsr(mode | 0x8040);
  // Every kernel of every form; of the formats and encodings that share their loops, one of each kind of loop.
  constexpr std::pair<const char*, const char*> kPairs[] = {
      {"int4.g64", "int8.g64"}, {"uint4.g32", "int8.g32"}, {"bipolar3.row", "int8.row"}, {"int2.g16", "int8.g32"}, {"ternary.g64", "int8.g128"},
      {"int4.g64", "int16.g64"}, {"int2.row", "int2.row"}, {"bipolar1.g64", "bipolar1.g64"}, {"int4.g64", "int4.g64"}, {"nf4", "int8.g64"}, {"mxfp4", "int8.g32"},
      {"cb4row", "int8.g64"}, {"cb8d2", "int8.g64"}, {"e8p2", "int8.g64"}, {"int4.g64", "f32"}, {"nf4", "f32"}, {"pow8", "f32"}, {"Q4_1", ""}, {"Q8_0", ""}, {"Q4_K", ""}, {"Q6_K", ""}};
  for (const FormRow& form : forms())
    for (auto [format, input_name] : kPairs) {
      const StoredType* stored = *input_name ? nullptr : stored_type(std::string_view(format));
      const Encoding& input = stored ? int8_input() : encoding(input_name);
      if (stored ? !form.holds_stored || !form.holds_stored(*stored) || form.pack
                 : !form.pack || !form.holds_format(parse_number_format(format)) || !takes(form, parse_number_format(format), input))
        continue;
      Subject subject{&form, format, stored, &input};
      auto linear = pack(subject, make_weights(subject, {kRows, kCols}, WeightPattern::ordinary, random), one);
      auto other = pack(subject, make_weights(subject, {kRows, kCols}, WeightPattern::lowest, random), one);
      for (const IsaRow& isa : isas()) {
        if (!runs(isa.isa) || (!options.full && isa.isa != chosen_isa())) continue;
        KernelList list = linear->kernels(isa.isa);
        for (const PanelKernels* kernels : list.all())
          for (i64 tokens : {1, 4}) {
            if (!kernels->takes(tokens)) continue;
            TimingCase c;
            c.kernel = fmt::format("{}/{}/{} {} {}", form.name, kernels->name, isa.name, format, linear->input().name), c.tokens = tokens;
            if (c.kernel.find(options.filter) == std::string::npos) continue;
            auto packed = linear->packed_bytes();
            Buffer<std::byte> place(static_cast<i64>(packed.size()));
            std::memcpy(place.data(), packed.data(), packed.size());
            Placed placed(*linear, place.data());
            Arena arena(placed.scratch(tokens));
            Context context{one, arena, isa.isa, kernels->name};
            Matrix<float> in = x.view().sub_rows(0, tokens), out = y.view().sub_rows(0, tokens);
            auto call = [&] { placed.apply(in, out, context); };
            for (const InputClass& input_class : kInputs) {
              c.classes = input_class.name;
              add(c, input_experiment(input_class, tokens * kCols, in.data, call));
            }
            // Roles swapped: the input stays, weights of one format differ. (A file's float16 scales are converted by
            // branches in this form: docs/timing.md.)
            if (form.name == "stored_float") continue;
            c.classes = "weights constant";
            fill_normal(in.data, tokens * kCols, random);
            Experiment e{{}, place.data(), call};
            for (i64 i = 0; i < kPool; i++) {
              e.pool[0].push_back(bytes_of(other->packed_bytes().data(), packed.size()));
              e.pool[1].push_back(bytes_of(pack(subject, make_weights(subject, {kRows, kCols}, WeightPattern::ordinary, random), one)->packed_bytes().data(), packed.size()));
            }
            add(c, e);
          }
      }
    }
  _mm_setcsr(mode);
  return cases;
}

}  // namespace bitkerf
