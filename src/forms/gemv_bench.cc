// What the framework costs: y = W x with 4-bit weights and 8-bit activations through forms and multiply(), beside the
// same product written out by hand with AVX-512 intrinsics, a layout of its own and nothing around it. One thread, run by
// run in turns; from the caches and from memory.
//   gemv_bench [ROUNDS]     prints shape, place of the weights, microseconds of both, median of the ratios
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 about its own intrinsics

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "core/float16.h"
#include "forms/list.h"
#include "measure/clock.h"

namespace bitkerf {
namespace {

#define BITKERF_AVX512 [[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]]

constexpr i64 kGroup = 128, kRows = 32;
// A panel: per group of 128 columns 32 float16 scales, then 32 steps of four columns, each 64 bytes: lower nibbles are
// rows 0 to 15, upper ones rows 16 to 31, four columns a row. Codes are values + 8.
constexpr i64 kGroupBytes = 2 * kRows + kGroup / 4 * 64;

struct ByHand {
  Shape shape;
  Buffer<std::uint8_t> bytes;
  mutable Buffer<std::int8_t> q;
  mutable Buffer<float> scale;
  mutable Buffer<std::int32_t> sum;

  explicit ByHand(const Quantized& w)
      : shape(w.shape()), bytes(shape.rows / kRows * (shape.cols / kGroup) * kGroupBytes), q(shape.cols), scale(shape.cols / kGroup),
        sum(shape.cols / kGroup) {
    std::uint8_t* p = bytes.data();
    for (i64 panel = 0; panel < shape.rows; panel += kRows)
      for (i64 g = 0; g < shape.cols / kGroup; g++, p += kGroupBytes) {
        for (i64 r = 0; r < kRows; r++) {
          std::uint16_t half = f32_to_f16(w.scales(panel + r, g));
          std::memcpy(p + 2 * r, &half, 2);
          for (i64 c = 0; c < kGroup; c++) {
            int code = w.codes(panel + r, g * kGroup + c);  // of -8..7, from 0
            p[2 * kRows + c / 4 * 64 + r % 16 * 4 + c % 4] |= static_cast<std::uint8_t>(r < 16 ? code : code << 4);
          }
        }
      }
  }

  BITKERF_AVX512 void apply(const float* x, float* y) const {
    for (i64 g = 0; g < shape.cols / kGroup; g++) {
      __m512 top = _mm512_setzero_ps();
      for (i64 i = 0; i < kGroup; i += 16) top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_loadu_ps(x + g * kGroup + i)));
      float largest = _mm512_reduce_max_ps(top);
      scale[g] = largest / 127;
      __m512 factor = _mm512_set1_ps(largest > 0 ? 127 / largest : 0);
      __m512i total = _mm512_setzero_si512();
      for (i64 i = 0; i < kGroup; i += 16) {
        __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + g * kGroup + i), factor));
        total = _mm512_add_epi32(total, v);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(q.data() + g * kGroup + i), _mm512_cvtepi32_epi8(v));
      }
      sum[g] = -8 * _mm512_reduce_add_epi32(total);
    }
    const std::uint8_t* p = bytes.data();
    const __m512i low = _mm512_set1_epi8(15);
    for (i64 panel = 0; panel < shape.rows; panel += kRows) {
      __m512 out[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
      for (i64 g = 0; g < shape.cols / kGroup; g++, p += kGroupBytes) {
        const std::uint8_t* codes = p + 2 * kRows;
        __m512i dot[2][2] = {{_mm512_set1_epi32(sum[g]), _mm512_setzero_si512()}, {_mm512_set1_epi32(sum[g]), _mm512_setzero_si512()}};
#pragma GCC unroll 8
        for (int s = 0; s < kGroup / 4; s++) {
          std::int32_t four;
          std::memcpy(&four, q.data() + g * kGroup + 4 * s, 4);
          _mm_prefetch(reinterpret_cast<const char*>(codes + 64 * s + 4096), _MM_HINT_T0);  // two groups ahead
          __m512i v = _mm512_load_si512(codes + 64 * s), in = _mm512_set1_epi32(four);
          dot[0][s % 2] = _mm512_dpbusd_epi32(dot[0][s % 2], _mm512_and_si512(v, low), in);
          dot[1][s % 2] = _mm512_dpbusd_epi32(dot[1][s % 2], _mm512_and_si512(_mm512_srli_epi16(v, 4), low), in);
        }
        for (int half = 0; half < 2; half++) {
          __m512 d = _mm512_mul_ps(_mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p + 32 * half))), _mm512_set1_ps(scale[g]));
          out[half] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(dot[half][0], dot[half][1])), d, out[half]);
        }
      }
      _mm512_storeu_ps(y + panel, out[0]);
      _mm512_storeu_ps(y + panel + 16, out[1]);
    }
  }
};

double median(std::vector<double> v) { return std::sort(v.begin(), v.end()), v[v.size() / 2]; }
void evict(const void* data, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) _mm_clflush(static_cast<const char*>(data) + i);
  _mm_mfence();
}

int run(int rounds) {
  if (!runs(Isa::avx512)) return std::puts("needs AVX-512"), 77;
  Threads threads(1);
  NumberFormat format = parse_number_format("int4.g128");
  std::printf("%-12s %-12s %-7s %10s %10s %7s\n", "form", "shape", "weights", "layer us", "hand us", "ratio");
  for (Shape shape : {Shape{32, 128}, Shape{1024, 1024}, Shape{4096, 4096}, Shape{11008, 4096}}) {
    Quantized w = Quantized::zeros(format, shape);
    std::mt19937 random(1);
    for (i64 r = 0; r < shape.rows; r++) {
      for (i64 c = 0; c < shape.cols; c++) w.codes(r, c) = static_cast<std::uint16_t>(random() % 16);
      for (i64 g = 0; g < w.scales.cols(); g++) w.scales(r, g) = f16_to_f32(f32_to_f16(0.001f * static_cast<float>(1 + random() % 8)));
    }
    OwnedMatrix<float> x(1, shape.cols), y(1, shape.rows), z(1, shape.rows);
    for (float& v : std::span(x.view().row(0), static_cast<std::size_t>(shape.cols))) v = static_cast<float>(random() % 2001) / 1000 - 1;
    ByHand hand(w);
    hand.apply(x.view().row(0), z.view().row(0));
    for (const FormRow& form : forms()) {
      if (!form.pack || !form.holds_format(format) || !takes(form, format, encoding("int8.g128"))) continue;
      auto linear = form.pack(w, encoding("int8.g128"), threads);
      Arena arena(linear->scratch(1));
      Context context{threads, arena, Isa::avx512};
      linear->apply(x.view(), y.view(), context);
      for (i64 r = 0; r < shape.rows; r++)
        if (std::fabs(y(0, r) - z(0, r)) > 1e-3f * std::fabs(z(0, r)) + 1e-2f) return std::printf("row %ld: %g, by hand %g\n", static_cast<long>(r), y(0, r), z(0, r)), 1;
      for (bool cold : {false, true}) {
        std::vector<double> ours, theirs, ratios;
        for (int round = 0; round < rounds; round++) {
          double seconds[2];
          for (int turn = 0; turn < 2; turn++) {
            bool layer = (turn + round) % 2 == 0;
            auto apply = [&] { layer ? linear->apply(x.view(), y.view(), context) : hand.apply(x.view().row(0), z.view().row(0)); };
            if (cold) layer ? evict(linear->packed_bytes().data(), linear->packed_bytes().size()) : evict(hand.bytes.data(), static_cast<std::size_t>(hand.bytes.size()));
            else apply();
            // One panel of one group shows what a call costs besides: many of them, or the clock would be timed.
            i64 repeats = shape.rows * shape.cols < 1 << 16 && !cold ? 100 : 1;
            double start = now();
            for (i64 i = 0; i < repeats; i++) apply();
            seconds[layer ? 0 : 1] = (now() - start) / static_cast<double>(repeats);
          }
          ours.push_back(seconds[0]), theirs.push_back(seconds[1]), ratios.push_back(seconds[0] / seconds[1]);
        }
        std::printf("%-12s %-12s %-7s %10.2f %10.2f %7.3f\n", form.name.data(), (std::to_string(shape.rows) + "x" + std::to_string(shape.cols)).c_str(),
                    cold ? "memory" : "cache", 1e6 * median(ours), 1e6 * median(theirs), median(ratios));
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace bitkerf

int main(int argc, char** argv) { return bitkerf::run(argc > 1 ? std::atoi(argv[1]) : 101); }
