#include "integer/prepare/build_decoder.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "integer/prepare/tables.h"
#include "ops/ops.h"

namespace bitkerf {
namespace {

double power_of_two(int exponent) { return std::ldexp(1.0, exponent); }

// Row r of sums is a multiple of input * scales[r]; in multiples of unit(r).
template <class Unit>
IntegerProduct product_of(const CodedMatrix& coded, double input, bool wide, std::int32_t limit, Threads& threads, Unit&& unit) {
  IntegerProduct product{IntegerPanels(coded.rows, coded.cols), wide, {}, limit};
  threads.split(coded.rows, [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++)
      for (i64 c = 0; c < coded.cols; c++) product.weights.set(r, c, coded.codes[static_cast<std::size_t>(r * coded.cols + c)]);
  });
  std::vector<double> factors;
  for (i64 r = 0; r < coded.rows; r++) factors.push_back(input * coded.scales[static_cast<std::size_t>(r)] / unit(r));
  product.scale = dyadic_row(factors);
  return product;
}

// From values in multiples of unit(c) to codes.
template <class Unit>
DyadicRow encoding_of(const InputScale& scale, i64 cols, Unit&& unit) {
  std::vector<double> factors;
  for (i64 c = 0; c < cols; c++) factors.push_back(unit(c) / scale.step(c));
  return dyadic_row(factors);
}

// From the direction of a vector of `width` columns as Q30 to codes: x / rms(x) = direction * sqrt(width).
DyadicRow norm_of(double scale, i64 width) {
  std::vector<double> factors(static_cast<std::size_t>(width), std::sqrt(static_cast<double>(width)) * power_of_two(-30) / scale);
  return dyadic_row(factors);
}

Buffer<std::int16_t> rotary_table(const RotarySpec& rotary, i64 context) {
  const auto pairs = static_cast<i64>(rotary.frequencies.size());
  Buffer<std::int16_t> table(context * pairs * 2, false);
  for (i64 t = 0; t < context; t++) {
    for (i64 i = 0; i < pairs; i++) {
      const double angle = static_cast<double>(t) * rotary.frequencies[static_cast<std::size_t>(i)];
      auto q14 = [&](double x) { return static_cast<std::int16_t>(std::clamp(std::nearbyint(x * rotary.magnitude * 16384), -32767.0, 32767.0)); };
      table[(t * pairs + i) * 2] = q14(std::cos(angle));
      table[(t * pairs + i) * 2 + 1] = q14(std::sin(angle));
    }
  }
  return table;
}

class RoundingObserver final : public EdgeObserver {
 public:
  explicit RoundingObserver(const CodedDecoder& coded)
      : scales_(coded.scales), heads_(coded.spec.heads), kv_heads_(coded.spec.kv_heads), last_(coded.last), head_limit_(coded.head_limit) {}

  void see(std::size_t layer, Edge edge, Matrix<float> values) noexcept override {
    const LayerScales& s = scales_[layer];
    auto by_head = [&](const std::vector<double>& scales, i64 heads) {
      return [&scales, size = values.cols / heads](i64 c) { return scales[static_cast<std::size_t>(c / size)]; };
    };
    if (edge == Edge::attention_input) round(values, 127, [&](i64) { return s.attention_input; });
    if (edge == Edge::feed_input) round(values, 127, [&](i64) { return s.feed_input; });
    if (edge == Edge::last) round(values, 127, [&](i64) { return last_; });
    if (edge == Edge::q) round(values, head_limit_, by_head(s.q, heads_));
    if (edge == Edge::k) round(values, head_limit_, by_head(s.k, kv_heads_));
    if (edge == Edge::v) round(values, kValueLimit, by_head(s.v, kv_heads_));
    if (edge == Edge::mixed) round(values, s.mixed.levels(), [&](i64 c) { return s.mixed.step(c); });
    if (edge == Edge::gated) round(values, s.gated.levels(), [&](i64 c) { return s.gated.step(c); });
  }

 private:
  template <class Step>
  static void round(Matrix<float> values, int levels, Step&& step) noexcept {
    for (i64 t = 0; t < values.rows; t++)
      for (i64 c = 0; c < values.cols; c++) {
        const double unit = step(c);
        values(t, c) = static_cast<float>(std::clamp(std::nearbyint(values(t, c) / unit), static_cast<double>(-levels), static_cast<double>(levels)) * unit);
      }
  }

  std::vector<LayerScales> scales_;
  i64 heads_, kv_heads_;
  double last_;
  int head_limit_;
};

}  // namespace

IntegerDecoder build_integer_decoder(const CodedDecoder& coded, i64 context, Threads& threads) {
  const DecoderSpec& spec = coded.spec;
  IntegerDecoder made;
  made.width = spec.shape.width, made.hidden = spec.hidden, made.vocabulary = spec.shape.vocabulary;
  made.heads = spec.heads, made.kv_heads = spec.kv_heads, made.head_dim = spec.head_dim, made.value_dim = spec.value_dim;
  const double stream = power_of_two(-coded.residual_bits);
  made.context = context;
  made.head_limit = coded.head_limit;
  made.logit_bits = kLogitBits;
  made.power_table = power_table();
  made.gate_table = gate_table(logistic);
  made.epsilon = static_cast<i64>(std::min(std::nearbyint(static_cast<double>(spec.epsilon) * static_cast<double>(made.width) / (stream * stream)), 0x1p60));
  made.embedding = Buffer<std::int8_t>(coded.embedding.rows * coded.embedding.cols, false);
  std::copy(coded.embedding.codes.begin(), coded.embedding.codes.end(), made.embedding.data());
  std::vector<double> factors;
  for (float scale : coded.embedding.scales) factors.push_back(scale / stream);
  made.embedding_scale = dyadic_row(factors);
  for (const RotarySpec& rotary : spec.rotaries) {
    made.rotary.push_back(rotary_table(rotary, context));
    made.rotary_pairs.push_back(static_cast<i64>(rotary.frequencies.size()));
  }

  const i64 q_rows = spec.heads * spec.head_dim, k_rows = spec.kv_heads * spec.head_dim, group = spec.heads / spec.kv_heads;
  for (std::size_t i = 0; i < coded.layers.size(); i++) {
    const CodedLayer& c = coded.layers[i];
    const LayerScales& s = coded.scales[i];
    IntegerDecoderLayer& layer = made.layers.emplace_back();
    auto head = [](const std::vector<double>& scales, i64 at, i64 size) { return scales[static_cast<std::size_t>(at / size)]; };
    layer.attention_norm = norm_of(s.attention_input, made.width);
    layer.feed_forward_norm = norm_of(s.feed_input, made.width);
    // Three bits more than the codes have, for rotation.
    layer.qkv = product_of(c.qkv, s.attention_input, false, 8 * std::max(coded.head_limit, kValueLimit), threads, [&](i64 r) {
      return (r < q_rows            ? head(s.q, r, spec.head_dim)
              : r < q_rows + k_rows ? head(s.k, r - q_rows, spec.head_dim)
                                    : head(s.v, r - q_rows - k_rows, spec.value_dim)) / 8;
    });
    layer.score_scale = Buffer<Dyadic>(spec.heads);
    for (i64 h = 0; h < spec.heads; h++)
      layer.score_scale[h] = dyadic(s.q[static_cast<std::size_t>(h)] * s.k[static_cast<std::size_t>(h / group)] * spec.attention_scale *
                                    std::numbers::log2e * 65536);
    layer.mixed = encoding_of(s.mixed, spec.heads * spec.value_dim,
                              [&](i64 col) { return s.v[static_cast<std::size_t>(col / spec.value_dim / group)] * power_of_two(-15); });
    layer.output = product_of(c.output, s.mixed.scale, s.mixed.wide, 1 << 30, threads, [&](i64) { return stream; });
    layer.gate_up = product_of(c.gate_up, s.feed_input, false, 1 << 27, threads,
                               [&](i64 r) { return r < spec.hidden ? power_of_two(-16) : power_of_two(-s.up_bits); });
    layer.gated = encoding_of(s.gated, spec.hidden, [&](i64) { return power_of_two(-s.up_bits); });
    layer.down = product_of(c.down, s.gated.scale, s.gated.wide, 1 << 30, threads, [&](i64) { return stream; });
    layer.window = spec.layer[i].window;
    layer.rotary = spec.layer[i].rotary;
  }
  made.last_norm = norm_of(coded.last, made.width);
  made.head = product_of(coded.head, coded.last, false, (1 << 24) - 1, threads, [&](i64) { return power_of_two(-kLogitBits); });
  return made;
}

FoldedDecoder rescaled_decoder(const CodedDecoder& coded, Threads& threads) {
  FoldedDecoder folded;
  folded.spec = coded.spec;
  auto floats = [&](const CodedMatrix& m, std::span<const float> stretch) {
    OwnedMatrix<float> made(m.rows, m.cols);
    threads.split(m.rows, [&](i64 first, i64 last) {
      for (i64 r = first; r < last; r++)
        for (i64 c = 0; c < m.cols; c++) {
          made(r, c) = static_cast<float>(m.codes[static_cast<std::size_t>(r * m.cols + c)]) * m.scales[static_cast<std::size_t>(r)];
          if (!stretch.empty()) made(r, c) /= stretch[static_cast<std::size_t>(c)];
        }
    });
    return made;
  };
  for (std::size_t i = 0; i < coded.layers.size(); i++) {
    const CodedLayer& c = coded.layers[i];
    folded.layers.push_back({floats(c.qkv, {}), floats(c.output, coded.scales[i].mixed.stretch), floats(c.gate_up, {}),
                             floats(c.down, coded.scales[i].gated.stretch)});
  }
  folded.embedding = floats(coded.embedding, {});
  folded.head = floats(coded.head, {});
  return folded;
}

std::unique_ptr<EdgeObserver> rounding_observer(const CodedDecoder& coded) { return std::make_unique<RoundingObserver>(coded); }

}  // namespace bitkerf
