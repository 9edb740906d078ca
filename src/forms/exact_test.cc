// All integer products against int64 arithmetic, bit for bit, for every pair of widths: the dot products of every span
// are exact whatever reads the planes, and the float operations after them are those that int_tile.inl documents,
// written once more here without vectors.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "forms/list.h"

namespace bitkerf {
namespace {

// Codes of activations, in place of what an encoder would have made of floats; every other token has only extremes.
void set_codes(IntRows& x, i64 tokens, i64 cols, std::mt19937& random) {
  int top = x.bipolar ? (1 << x.bits) - 1 : x.bits > 8 ? 32639 : (1 << (x.bits - 1)) - 1;
  for (i64 t = 0; t < tokens; t++) {
    const bool extremes = t % 2 == 1;
    x.minus_before[t * (x.units + 1)] = 0;
    for (i64 g = 0; g < x.groups; g++) x.scale[t * x.groups + g] = std::ldexp(static_cast<float>(1 + random() % 1000), -10);
    for (i64 u = 0; u < x.units; u++) {
      std::int32_t half[2] = {};
      for (i64 i = 0; i < 32; i++) {
        i64 c = 32 * u + i;
        int code = 0;
        if (c < cols) {
          code = extremes ? (random() % 2 ? top : -top) : static_cast<int>(random() % static_cast<unsigned>(2 * top + 1)) - top;
          if (x.bipolar && code % 2 == 0) code++;
        }
        auto low = static_cast<std::int8_t>(code & 255);
        if (x.low) x.low[t * x.cols + c] = low;
        x.q[t * x.cols + c] = static_cast<std::int8_t>(x.low ? (code - low) / 256 : code);
        half[i / 16] += code;
        if (x.planes)
          for (int b = 0; b < x.bits; b++) {
            int bits = c >= cols ? 0 : x.bipolar ? (code + top) / 2 : code;
            std::uint32_t& word = x.planes[(t * x.bits + b) * x.units + u];
            if (i == 0) word = 0;
            word |= static_cast<std::uint32_t>(bits >> (x.bits - 1 - b) & 1) << i;
          }
      }
      x.minus_sum16[2 * (t * x.units + u)] = -half[0];
      x.minus_sum16[2 * (t * x.units + u) + 1] = -half[1];
      std::int32_t* before = x.minus_before + t * (x.units + 1) + u;
      before[1] = before[0] - half[0] - half[1];
    }
    const std::int32_t* before = x.minus_before + t * (x.units + 1);
    for (i64 g = 0; g < x.groups; g++)
      x.scaled_sum[t * x.groups + g] =
          x.scale[t * x.groups + g] * static_cast<float>(before[g * x.group_units] - before[std::min((g + 1) * x.group_units, x.units)]);
  }
}

// int_tile.inl in plain numbers.
float reference(const Quantized& w, const std::vector<int>& levels, i64 row, const Encoding& input, const IntRows& x, i64 token) {
  const NumberFormat& format = w.format;
  const i64 cols = w.shape().cols, columns_of_scale = 32 * x.group_units;
  const i64 input_group = input.group == kRowGroup ? kPassCols : input.group;
  const i64 span = format.group == 16 ? 16 : std::gcd(format.group == kWholeRow ? kPassCols : format.group, input_group);
  const bool late = input.bits > 8 || input.group != (span == 16 ? 32 : span);
  // Odd numbers of 8 bits fit no byte: their codes are multiplied, and their lowest level is a minimum.
  const bool shifted = format.grid.magnitude() > 128 && format.grid.step() == 2;
  const float step = shifted ? 2 : 1;
  float total = 0, sum = 0;
  for (i64 c = 0; c < cols; c += span) {
    const i64 end = std::min(c + span, cols), g = format.group_of(c);
    std::int64_t dot = 0, codes = 0;
    for (i64 k = c; k < end; k++) {
      std::int64_t code = x.q[token * x.cols + k];
      if (x.low) code = 256 * code + x.low[token * x.cols + k];
      dot += (shifted ? w.codes(row, k) : levels[w.codes(row, k)]) * code;
      codes += code;
    }
    const float scale = x.scale[token * x.groups + c / columns_of_scale], d = w.scales(row, g) * step;
    sum = std::fma(static_cast<float>(dot), late ? d : d * scale, sum);
    if (shifted || format.has_minimum) {
      const float m = shifted ? w.scales(row, g) * format.grid.value(0) : w.minima(row, g);
      sum = std::fma(m, late ? static_cast<float>(codes) : scale * static_cast<float>(codes), sum);
    }
    if (late && (end == cols || end % columns_of_scale == 0)) {
      total = std::fma(sum, scale, total);
      sum = 0;
    }
  }
  return late ? total : sum;
}

// All tokens x panels of `kernels`: by `one`, then in tiles of up to `at_once` tokens over passes of kPassCols.
OwnedMatrix<float> by_one(const PackedLinear& w, const PanelKernels& kernels, const void* input, i64 tokens) {
  OwnedMatrix<float> y(tokens, w.panels() * kPanelRows);
  for (i64 t = 0; t < tokens; t++) {
    if (kernels.prepare) kernels.prepare(input, t);
    for (i64 p = 0; p < w.panels(); p++)
      kernels.one(w.kernel_data(), w.panel(p), w.shape().cols, input, tokens, t, y.view().row(t) + p * kPanelRows);
  }
  return y;
}
OwnedMatrix<float> by_tiles(const PackedLinear& w, const PanelKernels& kernels, const void* input, i64 tokens, i64 at_once) {
  const i64 cols = round_up<i64>(w.shape().cols, w.input().pad);
  OwnedMatrix<float> y(tokens, w.panels() * kPanelRows);
  Buffer<std::byte> scratch(kernels.tile_bytes(std::min(cols, kPassCols)));
  for (i64 first = 0; first < cols; first += kPassCols)
    for (i64 p = 0; p < w.panels(); p++) {
      const i64 count = std::min(kPassCols, cols - first);
      const void* tile = kernels.unpack(w.kernel_data(), w.panel(p), cols, first, count, scratch.data());
      for (i64 t = 0, n; t < tokens; t += n) {
        n = std::min<i64>({kernels.max_tokens, at_once, tokens - t});
        kernels.tile[n](tile, cols, first, count, input, tokens, t, y.view().row(t) + p * kPanelRows, y.view().stride);
      }
    }
  return y;
}

// Weights of w bits, three ways to count them, and activations of a bits, two ways where there are planes; the groups of
// both in turn.
class Exact : public testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(Exact, EveryConsumerEqualsInt64Arithmetic) {
  const auto [w_bits, a_bits] = GetParam();
  std::mt19937 random(static_cast<unsigned>(16 * w_bits + a_bits));
  Threads threads(1);
  unsigned turn = static_cast<unsigned>(3 * w_bits + a_bits);
  for (i64 cols : {1, 31, 63, 64, 65, 576, 1536, 4097}) {
    turn++;
    const char* weights[] = {"int", "bipolar", "uint"};
    const char* weight_groups[] = {".f32.row", ".f32.g64", ".f32.g32", ".f32.g16"};
    const char* input_groups[] = {".row", ".g128", ".g32"};
    const bool bipolar = a_bits == 1 || (a_bits <= 4 && turn % 2 == 0);
    std::string input_group = a_bits == 16 ? ".g256" : input_groups[turn / 2 % 3];
    const Encoding& input = encoding((bipolar ? "bipolar" : "int") + std::to_string(a_bits) + input_group);
    NumberFormat format = parse_number_format(weights[turn % 3] + std::to_string(w_bits) + weight_groups[turn % 4]);
    const i64 rows = 35, tokens = cols > 1000 ? 3 : 11;

    Quantized q = Quantized::zeros(format, {rows, cols});
    std::vector<int> levels;
    for (int code = 0; code < format.grid.levels(); code++) levels.push_back(static_cast<int>(format.grid.value(code)));
    for (i64 r = 0; r < rows; r++) {
      for (i64 c = 0; c < cols; c++)
        q.codes(r, c) = static_cast<std::uint16_t>(r % 3 == 0 ? (random() % 2) * (levels.size() - 1) : random() % levels.size());
      for (i64 g = 0; g < format.groups(cols); g++) {
        q.scales(r, g) = std::ldexp(static_cast<float>(1 + random() % 1000), -10);
        if (format.has_minimum) q.minima(r, g) = -std::ldexp(static_cast<float>(1 + random() % 1000), -10);
      }
    }
    auto packed = form("bit_planes").pack(q, input, threads);
    Buffer<std::byte> memory(input.bytes(tokens, cols));
    input.prepare(memory.data(), tokens, cols);
    IntRows& x = *reinterpret_cast<IntRows*>(memory.data());
    set_codes(x, tokens, cols, random);

    OwnedMatrix<float> want(tokens, rows);
    i64 zeros = 0;
    for (i64 t = 0; t < tokens; t++)
      for (i64 r = 0; r < rows; r++) zeros += (want(t, r) = reference(q, levels, r, input, x, t)) == 0;
    if (cols > 31) {
      EXPECT_LT(2 * zeros, tokens * rows);
    }
    for (const IsaRow& isa : isas()) {
      if (!runs(isa.isa)) continue;
      KernelList list = packed->kernels(isa.isa);
      for (const PanelKernels* kernels : list.all()) {
        for (i64 at_once : {0, 1, 8}) {
          if (at_once > 0 && !kernels->unpack) continue;
          if (at_once == 1 && cols != 65) continue;
          auto y = at_once == 0 ? by_one(*packed, *kernels, memory.data(), tokens)
                                : by_tiles(*packed, *kernels, memory.data(), tokens, at_once);
          for (i64 t = 0; t < y.rows(); t++)
            for (i64 r = 0; r < rows; r++)
              ASSERT_EQ(want(t, r), y(t, r)) << isa.name << ' ' << kernels->name << ' ' << format.name << " x " << input.name << ": "
                                             << cols << " columns, row " << r << ", token " << t << ", at once " << at_once;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, Exact, testing::Combine(testing::Range(1, 9), testing::Values(1, 2, 3, 4, 5, 6, 7, 8, 16)),
                         [](const auto& info) { return "w" + std::to_string(std::get<0>(info.param)) + "_a" + std::to_string(std::get<1>(info.param)); });

}  // namespace
}  // namespace bitkerf
