#include "integer/execute/decoder.h"

#include <algorithm>

namespace bitkerf {
namespace {

using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;

// Sums of products are kept for whole panels, codes for whole quads.
i64 padded(i64 rows) { return round_up(rows, kIntegerRows); }
i64 quads(i64 cols) { return round_up(cols, kQuad); }

class Step {
 public:
  Step(const IntegerDecoder& model, const Batch& batch, std::span<IntegerCache* const> states, const IntegerKernels& kernels, Context& context)
      : m_(model), batch_(batch), states_(states), k_(kernels), context_(context), threads_(context.threads), most_sums_row_(most_sums(model)) {}

  void run(std::span<const Token> tokens, std::span<const i64> wanted, Matrix<i8> hidden) noexcept {
    Arena::Scope scope(context_.arena);
    i64 n = batch_.tokens;
    x_ = context_.arena.matrix<i32>(n, m_.width);
    codes_ = context_.arena.take<i8>(n * most_codes(m_));
    sums_ = context_.arena.take<i32>(n * most_sums_row_);
    rescaled_ = context_.arena.take<i32>(n * most_sums_row_);
    q_ = context_.arena.matrix<i16>(n, m_.heads * m_.head_dim);
    mixed_ = context_.arena.matrix<i32>(n, m_.heads * m_.value_dim);
    runs_ = context_.arena.take<std::int32_t>(n);
    for (std::size_t r = 0; r < batch_.runs.size(); r++)
      for (i64 t = 0; t < batch_.runs[r].tokens; t++) runs_[batch_.runs[r].first + t] = static_cast<std::int32_t>(r);

    rows(n, [&](i64 t) {
      const i64 id = tokens[static_cast<std::size_t>(t)];
      k_.look_up(m_.embedding.data() + id * m_.width, {m_.embedding_scale.multipliers[id], m_.embedding_scale.shift}, m_.width, x_.row(t));
    });
    for (std::size_t i = 0; i < m_.layers.size(); i++) {
      const IntegerDecoderLayer& layer = m_.layers[i];
      attend(layer, i);
      if (i + 1 == m_.layers.size()) {
        // Nothing after the last attention looks at other tokens.
        for (std::size_t j = 0; j < wanted.size(); j++) {
          std::copy_n(x_.row(wanted[j]), m_.width, x_.row(static_cast<i64>(j)));
          std::copy_n(mixed_.row(wanted[j]), mixed_.cols, mixed_.row(static_cast<i64>(j)));
        }
        x_.rows = mixed_.rows = static_cast<i64>(wanted.size());
        if (wanted.empty()) return;
      }
      add_output(layer);
      feed_forward(layer);
    }
    rows(x_.rows, [&](i64 t) { norm(m_.last_norm, t, hidden.row(t), quads(m_.width)); });
  }

  static i64 most_codes(const IntegerDecoder& m) {
    return 2 * std::max({quads(m.width), quads(m.hidden), quads(m.heads * m.value_dim)});
  }
  static i64 most_sums(const IntegerDecoder& m) {
    i64 most = 0;
    for (const IntegerDecoderLayer& layer : m.layers)
      for (const IntegerProduct* p : {&layer.qkv, &layer.output, &layer.gate_up, &layer.down})
        most = std::max(most, padded(p->weights.rows) * (p->wide ? 2 : 1));
    return most;
  }

 private:
  template <class Body>
  void rows(i64 n, Body&& body) noexcept {
    threads_.split(n, [&](i64 first, i64 last) {
      for (i64 t = first; t < last; t++) body(t);
    });
  }

  Matrix<i8> codes(i64 n, i64 cols, bool wide) const { return {codes_, wide ? 2 * n : n, quads(cols)}; }

  // 8-bit codes of row t of the residual.
  void norm(const DyadicRow& gain, i64 t, i8* to, i64 cols) noexcept {
    i32* z = rescaled_ + t * most_sums_row_;
    k_.normalize(x_.row(t), m_.epsilon, m_.width, z);
    k_.rescale(z, gain.multipliers.data(), gain.shift, 127, m_.width, z);
    k_.narrow_to_8(z, m_.width, to);
    for (i64 c = m_.width; c < cols; c++) to[c] = 0;
  }

  // Codes of row t of a product's input, from values already in its scale.
  void encode(const i32* values, i64 t, i64 cols, const IntegerProduct& product) noexcept {
    i64 stride = quads(cols);
    i8* to = codes_ + t * stride * (product.wide ? 2 : 1);
    if (product.wide) k_.split(values, cols, to, to + stride);
    else k_.narrow_to_8(values, cols, to);
    for (i64 c = cols; c < stride; c++) {
      to[c] = 0;
      if (product.wide) to[stride + c] = 0;
    }
  }

  void multiply(const IntegerProduct& product, i64 n) noexcept {
    multiply_panels(product.weights, codes(n, product.weights.cols, product.wide), {sums_, product.wide ? 2 * n : n, padded(product.weights.rows)}, k_,
                    threads_);
  }
  // Row t of the last product in the scale of what reads it.
  void rescale(const IntegerProduct& product, i64 t, i32* y) noexcept {
    i64 n = product.weights.rows, stride = padded(n);
    const DyadicRow& s = product.scale;
    if (product.wide) k_.rescale_wide(sums_ + 2 * t * stride, sums_ + (2 * t + 1) * stride, s.multipliers.data(), s.shift, product.limit, n, y);
    else k_.rescale(sums_ + t * stride, s.multipliers.data(), s.shift, product.limit, n, y);
  }

  i64 position(i64 t) const {
    const Run& run = batch_.runs[static_cast<std::size_t>(runs_[t])];
    return run.position + t - run.first;
  }

  void attend(const IntegerDecoderLayer& layer, std::size_t index) noexcept {
    const i64 n = x_.rows, queries = m_.heads * m_.head_dim, keys = m_.kv_heads * m_.head_dim, values = m_.kv_heads * m_.value_dim;
    const i64 pairs = m_.rotary_pairs[layer.rotary];
    rows(n, [&](i64 t) { norm(layer.attention_norm, t, codes_ + t * quads(m_.width), quads(m_.width)); });
    multiply(layer.qkv, n);
    rows(n, [&](i64 t) {
      i32* row = rescaled_ + t * most_sums_row_;
      rescale(layer.qkv, t, row);
      const i64 at = position(t);
      const i16* table = m_.rotary[layer.rotary].data() + at * pairs * 2;
      IntegerCache& cache = *cache_of(t, index);
      for (i64 h = 0; h < m_.heads; h++)
        k_.rotate(table, row + h * m_.head_dim, pairs, m_.head_dim, m_.head_limit, q_.row(t) + h * m_.head_dim);
      for (i64 h = 0; h < m_.kv_heads; h++)
        k_.rotate(table, row + queries + h * m_.head_dim, pairs, m_.head_dim, m_.head_limit, cache.keys.data() + at * keys + h * m_.head_dim);
      for (i64 c = 0; c < values; c++) cache.values[at * values + c] = static_cast<i16>((row[queries + keys + c] + 4) >> 3);
    });
    for (std::size_t r = 0; r < batch_.runs.size(); r++)
      states_[r * m_.layers.size() + index]->held = batch_.runs[r].position + batch_.runs[r].tokens;

    Arena::Scope scope(context_.arena);
    const i64 most = m_.context, group = m_.heads / m_.kv_heads;
    i32* scores = context_.arena.take<i32>(threads_.count() * most);
    i16* shares = context_.arena.take<i16>(threads_.count() * most);
    threads_.each([&](int worker) {
      i32* own_scores = scores + worker * most;
      i16* own_shares = shares + worker * most;
      // Heads of a token, tokens in turns: late tokens see more positions.
      for (i64 task = worker; task < n * m_.heads; task += threads_.count()) {
        const i64 t = task / m_.heads, h = task % m_.heads, kv = h / group, at = position(t);
        const i64 from = layer.window > 0 ? std::max<i64>(0, at + 1 - layer.window) : 0, count = at + 1 - from;
        const IntegerCache& cache = *cache_of(t, index);
        k_.dots(q_.row(t) + h * m_.head_dim, cache.keys.data() + from * keys + kv * m_.head_dim, keys, count, m_.head_dim, own_scores);
        k_.softmax(own_scores, layer.score_scale[h], m_.power_table.data(), count, own_shares);
        k_.weigh(own_shares, cache.values.data() + from * values + kv * m_.value_dim, values, count, m_.value_dim, mixed_.row(t) + h * m_.value_dim);
      }
    });
  }

  IntegerCache* cache_of(i64 t, std::size_t layer) const { return states_[static_cast<std::size_t>(runs_[t]) * m_.layers.size() + layer]; }

  void add_to_residual(const IntegerProduct& product) noexcept {
    multiply(product, x_.rows);
    rows(x_.rows, [&](i64 t) {
      i32* row = rescaled_ + t * most_sums_row_;
      rescale(product, t, row);
      k_.add(x_.row(t), row, m_.width);
    });
  }

  void add_output(const IntegerDecoderLayer& layer) noexcept {
    const i64 cols = m_.heads * m_.value_dim;
    rows(x_.rows, [&](i64 t) {
      i32* row = mixed_.row(t);
      k_.rescale(row, layer.mixed.multipliers.data(), layer.mixed.shift, layer.output.wide ? 32512 : 127, cols, row);
      encode(row, t, cols, layer.output);
    });
    add_to_residual(layer.output);
  }

  void feed_forward(const IntegerDecoderLayer& layer) noexcept {
    const i64 n = x_.rows, hidden = m_.hidden;
    rows(n, [&](i64 t) { norm(layer.feed_forward_norm, t, codes_ + t * quads(m_.width), quads(m_.width)); });
    multiply(layer.gate_up, n);
    rows(n, [&](i64 t) {
      i32* row = rescaled_ + t * most_sums_row_;
      rescale(layer.gate_up, t, row);
      k_.gate(row, m_.gate_table.data(), hidden, row);
      k_.multiply(row, row + hidden, hidden, row);
      k_.rescale(row, layer.gated.multipliers.data(), layer.gated.shift, layer.down.wide ? 32512 : 127, hidden, row);
      encode(row, t, hidden, layer.down);
    });
    add_to_residual(layer.down);
  }

  const IntegerDecoder& m_;
  const Batch& batch_;
  std::span<IntegerCache* const> states_;
  const IntegerKernels& k_;
  Context& context_;
  Threads& threads_;
  const i64 most_sums_row_;
  Matrix<i32> x_, mixed_;
  Matrix<i16> q_;
  i8* codes_ = nullptr;
  i32* sums_ = nullptr;
  i32* rescaled_ = nullptr;
  std::int32_t* runs_ = nullptr;  // of every token
};

}  // namespace

void run_integer_decoder(const IntegerDecoder& model, std::span<const Token> tokens, const Batch& batch, std::span<IntegerCache* const> states,
                         std::span<const i64> wanted, Matrix<i8> hidden, const IntegerKernels& kernels, Context& context) noexcept {
  Step(model, batch, states, kernels, context).run(tokens, wanted, hidden);
}

i64 integer_decoder_scratch(const IntegerDecoder& m, i64 tokens, int threads) {
  i64 sums = Step::most_sums(m);
  return Arena::bytes_of<i32>(tokens * m.width) + Arena::bytes_of<i8>(tokens * Step::most_codes(m)) + 2 * Arena::bytes_of<i32>(tokens * sums) +
         Arena::bytes_of<i16>(tokens * m.heads * m.head_dim) + Arena::bytes_of<i32>(tokens * m.heads * m.value_dim) +
         Arena::bytes_of<std::int32_t>(tokens) + Arena::bytes_of<i32>(threads * m.context) + Arena::bytes_of<i16>(threads * m.context);
}

void run_integer_head(const IntegerDecoder& model, Matrix<const i8> hidden, Matrix<i32> logits, const IntegerKernels& kernels,
                      Threads& threads) noexcept {
  multiply_panels(model.head.weights, hidden, logits, kernels, threads);
  threads.split(hidden.rows, [&](i64 first, i64 last) {
    for (i64 t = first; t < last; t++)
      kernels.rescale(logits.row(t), model.head.scale.multipliers.data(), model.head.scale.shift, model.head.limit, model.vocabulary, logits.row(t));
  });
}

const IntegerKernels& integer_kernels(Isa isa) {
  constexpr const IntegerKernels* kTables[] = {&kIntegerPortable, &kIntegerAvx2, &kIntegerAvx512};
  return *kTables[static_cast<int>(isa)];
}

}  // namespace bitkerf
