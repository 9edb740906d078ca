#include "integer/prepare/scales.h"

#include <algorithm>
#include <cmath>

namespace bitkerf {
namespace {

class RangeWatcher final : public EdgeObserver {
 public:
  explicit RangeWatcher(std::size_t layers) { ranges.layers.resize(layers); }
  void see(std::size_t layer, Edge edge, Matrix<float> values) noexcept override {
    EdgeRange& range = ranges.layers[layer][static_cast<std::size_t>(edge)];
    if (range.largest.empty()) {
      range.largest.resize(static_cast<std::size_t>(values.cols));
      range.squares.resize(static_cast<std::size_t>(values.cols));
    }
    for (i64 t = 0; t < values.rows; t++) {
      const float* row = values.row(t);
      for (std::size_t c = 0; c < range.largest.size(); c++) {
        range.largest[c] = std::max(range.largest[c], std::fabs(row[c]));
        range.squares[c] += static_cast<double>(row[c]) * row[c];
      }
    }
    range.tokens += values.rows;
  }
  EdgeRanges ranges;
};

// x, its last bits rounded up: instruction sets and numbers of threads differ by a rounding in floats, and static scales should not.
float without_last_bits(float x) {
  int exponent = 0;
  const float mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::ceil(mantissa * 512), exponent - 9);
}

double largest_of(std::span<const float> values) {
  double largest = 1e-20;
  for (float value : values) largest = std::max(largest, static_cast<double>(value));
  return largest;
}

// Heads of q and k: values turn within pairs, so a head's largest value at any position is bounded by its pairs' lengths;
// what was seen, and a quarter more.
std::vector<double> head_scales(const EdgeRange& range, i64 heads, int limit) {
  std::vector<double> scales;
  const auto size = static_cast<std::size_t>(static_cast<i64>(range.largest.size()) / heads);
  for (std::size_t h = 0; h < static_cast<std::size_t>(heads); h++)
    scales.push_back(1.25 * largest_of(std::span(range.largest).subspan(h * size, size)) / limit);
  return scales;
}

// Fraction bits that leave `range` times 16 in 2^top.
int bits_within(double range, int top) { return top - static_cast<int>(std::ceil(std::log2(range * 16))); }

}  // namespace

EdgeRanges watch_ranges(std::shared_ptr<const FoldedDecoder> folded, std::span<const std::vector<Token>> windows, Threads& threads,
                        const std::function<void(i64, i64)>& progress) {
  auto watcher = std::make_shared<RangeWatcher>(folded->layers.size());
  std::unique_ptr<Model> model = make_graph_model(std::move(folded), watcher, threads);
  i64 longest = 0, done = 0;
  for (const std::vector<Token>& window : windows) longest = std::max(longest, static_cast<i64>(window.size()));
  Arena arena(model->scratch(longest, longest));
  Context context{threads, arena, chosen_isa()};
  std::unique_ptr<SequenceState> sequence = model->new_sequence(longest);
  for (const std::vector<Token>& window : windows) {
    if (progress) progress(done++, static_cast<i64>(windows.size()));
    sequence->truncate(0);
    const auto length = static_cast<i64>(window.size());
    Run run{0, length, 0};
    SequenceState* state = sequence.get();
    model->forward(window, {.runs = {&run, 1}, .tokens = length}, {&state, 1}, {}, {}, context);
  }
  for (auto& layer : watcher->ranges.layers)
    for (EdgeRange& range : layer)
      for (float& largest : range.largest) largest = without_last_bits(largest);
  return std::move(watcher->ranges);
}

InputScale choose_input(const EdgeRange& range, Matrix<const float> weights, Threads& threads) {
  const auto cols = static_cast<std::size_t>(weights.cols);
  std::vector<double> column(cols), mean_square(cols);
  double products = 0;
  for (i64 r = 0; r < weights.rows; r++)
    for (std::size_t c = 0; c < cols; c++) column[c] += static_cast<double>(weights.row(r)[c]) * weights.row(r)[c];
  for (std::size_t c = 0; c < cols; c++) {
    mean_square[c] = range.squares[c] / static_cast<double>(range.tokens);
    products += column[c] * mean_square[c];
  }
  const double largest = largest_of(range.largest);
  // A step's rounding error has the variance step^2 / 12.
  auto judged = [&](double bound, bool wide) {
    InputScale made;
    made.wide = wide;
    // 16 bits can spare one for inputs larger than those seen.
    made.scale = bound * (wide ? 2 : 1) / made.levels();
    double inputs = 0, squares = 0, steps = 0;
    for (std::size_t c = 0; c < cols; c++) {
      made.stretch.push_back(static_cast<float>(std::max(1.0, range.largest[c] / bound)));
      inputs += made.step(static_cast<i64>(c)) * made.step(static_cast<i64>(c)) * column[c];
      squares += mean_square[c] / (static_cast<double>(made.stretch[c]) * made.stretch[c]);
    }
    Buffer<double> row_step(weights.rows);
    threads.split(weights.rows, [&](i64 first, i64 last) {
      for (i64 r = first; r < last; r++) {
        float most = 0;
        for (std::size_t c = 0; c < cols; c++) most = std::max(most, std::fabs(weights.row(r)[c]) * made.stretch[c]);
        row_step[r] = most / 127;
      }
    });
    for (double step : row_step.span()) steps += step * step;
    made.error = products > 0 ? (inputs + steps * squares) / 12 / products : 0;
    return made;
  };
  // More than that of an input without outliers at 8 bits (2e-4 to 3e-4) by more than a factor of 2.
  constexpr double kAllowed = 6e-4;
  InputScale best;
  for (bool wide : {false, true}) {
    for (double bound = largest; bound > largest / 4096; bound /= std::sqrt(2.0)) {
      InputScale made = judged(bound, wide);
      if (bound == largest || made.error < best.error) best = made;
    }
    if (best.error <= kAllowed) break;
  }
  return best;
}

CodedMatrix code_rows(Matrix<const float> weights, std::span<const float> stretch, Threads& threads) {
  CodedMatrix coded{weights.rows, weights.cols, {}, {}};
  coded.codes.resize(static_cast<std::size_t>(weights.rows * weights.cols));
  coded.scales.resize(static_cast<std::size_t>(weights.rows));
  threads.split(weights.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++) {
      auto at = [&](i64 c) { return weights(r, c) * (stretch.empty() ? 1.0f : stretch[static_cast<std::size_t>(c)]); };
      float largest = 0;
      for (i64 c = 0; c < weights.cols; c++) largest = std::max(largest, std::fabs(at(c)));
      const float scale = largest > 0 ? largest / 127 : 1;
      coded.scales[static_cast<std::size_t>(r)] = scale;
      for (i64 c = 0; c < weights.cols; c++)
        coded.codes[static_cast<std::size_t>(r * weights.cols + c)] =
            static_cast<std::int8_t>(std::clamp(std::nearbyint(at(c) / scale), -127.0f, 127.0f));
    }
  });
  return coded;
}

CodedDecoder code_decoder(FoldedDecoder& folded, const EdgeRanges& ranges, Threads& threads) {
  CodedDecoder coded;
  coded.spec = folded.spec;
  const DecoderSpec& spec = coded.spec;
  // The sum of head_dim products of codes must stay within 31 bits.
  while (static_cast<double>(coded.head_limit) * coded.head_limit * static_cast<double>(spec.head_dim) >= 0x1p31) coded.head_limit /= 2;
  double stream = 1e-20;
  for (std::size_t i = 0; i < folded.layers.size(); i++) {
    FoldedLayer& layer = folded.layers[i];
    LayerScales& s = coded.scales.emplace_back();
    s.attention_input = largest_of(ranges.at(i, Edge::attention_input).largest) / 127;
    s.feed_input = largest_of(ranges.at(i, Edge::feed_input).largest) / 127;
    s.q = head_scales(ranges.at(i, Edge::q), spec.heads, coded.head_limit);
    s.k = head_scales(ranges.at(i, Edge::k), spec.kv_heads, coded.head_limit);
    s.v = head_scales(ranges.at(i, Edge::v), spec.kv_heads, kValueLimit);
    s.mixed = choose_input(ranges.at(i, Edge::mixed), layer.output.view(), threads);
    s.gated = choose_input(ranges.at(i, Edge::gated), layer.down.view(), threads);
    s.up_bits = std::min(24, bits_within(largest_of(ranges.at(i, Edge::up).largest), 27));
    stream = std::max(stream, largest_of(ranges.at(i, Edge::residual).largest));
    CodedLayer& c = coded.layers.emplace_back();
    c.qkv = code_rows(layer.qkv.view(), {}, threads);
    c.output = code_rows(layer.output.view(), s.mixed.stretch, threads);
    c.gate_up = code_rows(layer.gate_up.view(), {}, threads);
    c.down = code_rows(layer.down.view(), s.gated.stretch, threads);
    layer = {};
  }
  coded.last = largest_of(ranges.at(0, Edge::last).largest) / 127;
  coded.residual_bits = bits_within(stream, 30);
  coded.embedding = code_rows(folded.embedding.view(), {}, threads);
  folded.embedding = {};
  coded.head = code_rows(folded.head.view(), {}, threads);
  folded.head = {};
  return coded;
}

}  // namespace bitkerf
