#include "compress/backward/differentiable_decoder.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "compress/backward/blocks.h"
#include "compress/calibration/moments.h"
#include "core/error.h"

namespace bitkerf::backward {
namespace {

AttentionShape attention_of(const DecoderSpec& spec, std::size_t layer) {
  return {.heads = spec.heads, .kv_heads = spec.kv_heads, .head_dim = spec.head_dim, .value_dim = spec.value_dim,
          .scale = spec.attention_scale, .softcap = spec.attention_softcap, .window = spec.layer[layer].window};
}

// Every head as a row of its own.
template <class T>
Matrix<T> by_heads(Matrix<T> m, i64 head_dim) { return {m.data, m.rows * (m.cols / head_dim), head_dim}; }

void copy(Matrix<const float> from, Matrix<float> to) noexcept { std::copy_n(from.data, from.rows * from.cols, to.data); }

void add_to(std::vector<double>& sum, const std::vector<double>& other) {
  if (sum.empty()) sum.resize(other.size());
  for (std::size_t i = 0; i < other.size(); i++) sum[i] += other[i];
}

}  // namespace

void Derivatives::add(const Derivatives& other) {
  tokens += other.tokens;
  loss += other.loss;
  for (const auto& [name, rows] : other.matrices) {
    RowDerivatives& mine = matrices[name];
    add_to(mine.square, rows.square);
    add_to(mine.factor, rows.factor);
    add_to(mine.bias, rows.bias);
  }
  for (const auto& [name, gain] : other.gains) add_to(gains[name], gain);
  add_to(input, other.input);
}

// All (tokens, ...). q, k and v are outputs of their products, before norms and rotation.
struct DifferentiableDecoder::Saved {
  OwnedMatrix<float> x, q, k, v, mixed, attention, gate, up, feed_forward;
};

struct DifferentiableDecoder::Slot {
  i64 tokens = 0;
  std::vector<Saved> layers;     // of all, or one that all share where there is no way back
  OwnedMatrix<float> last, d_x;  // (tokens, width): the residual stream at its end; its derivative on the way back
  Derivatives sums;
  // Inputs of matrices with the weight of each token, until add_moments() has read them; wanted: gather them.
  struct Weighed {
    std::string matrix;
    Matrix<const float> x;
    std::vector<double> weights;
  };
  bool wanted = false;
  std::vector<Weighed> weighed;
  OwnedMatrix<float> attention_input, feed_forward_input, gated, hidden;  // (tokens, ...)

  Matrix<float> rows(OwnedMatrix<float>& m) const { return m.view().sub_rows(0, tokens); }
  Matrix<const float> rows(const OwnedMatrix<float>& m) const { return m.view().sub_rows(0, tokens); }
};

struct DifferentiableDecoder::Expanded {
  OwnedMatrix<float> q, k, v, output, gate, up, down;
};

struct DifferentiableDecoder::Worker {
  explicit Worker(i64 bytes) : arena(bytes) {}
  Threads alone{1};
  Arena arena;
  Context context{alone, arena, chosen_isa()};
};

DifferentiableDecoder::DifferentiableDecoder(const DecoderSpec& spec, DecoderWeights weights, Threads& threads, bool keep_expanded)
    : spec_(spec), weights_(std::move(weights)), threads_(threads), keep_expanded_(keep_expanded) {
  openblas_set_num_threads(1);
  expanded_.resize(keep_expanded ? weights_.layers.size() : 1);
}

DifferentiableDecoder::~DifferentiableDecoder() = default;

i64 DifferentiableDecoder::windows_at_once() const { return threads_.count(); }

i64 DifferentiableDecoder::head_tokens() const {
  constexpr i64 kMostLogits = i64{1} << 23;  // 32 MiB a matrix
  return std::clamp<i64>(kMostLogits / spec_.shape.vocabulary, 16, 128);
}

i64 DifferentiableDecoder::scratch(i64 n) const {
  auto floats = [](i64 rows, i64 cols) { return Arena::bytes_of<float>(rows * cols); };
  i64 q = floats(n, spec_.heads * spec_.head_dim), k = floats(n, spec_.kv_heads * spec_.head_dim), v = floats(n, spec_.kv_heads * spec_.value_dim);
  i64 attention = 2 * q + 2 * k + v + floats(n, spec_.heads * spec_.value_dim) + attention_scratch(attention_of(spec_, 0), n);
  i64 layer = 3 * floats(n, spec_.shape.width) + std::max(2 * floats(n, spec_.hidden), attention);
  i64 head = 2 * floats(head_tokens(), spec_.shape.vocabulary) + 2 * floats(n, spec_.shape.width);
  return std::max(layer, head);
}

i64 DifferentiableDecoder::bytes(i64 n) const {
  i64 head = spec_.heads * spec_.head_dim, keys = spec_.kv_heads * (spec_.head_dim + spec_.value_dim);
  i64 layer = 3 * spec_.shape.width + head + keys + spec_.heads * spec_.value_dim + 2 * spec_.hidden;
  i64 matrices = spec_.shape.width * (head + keys + spec_.heads * spec_.value_dim + 3 * spec_.hidden) *
                 (keep_expanded_ ? spec_.shape.layers : 1);
  i64 slot = n * (layer * spec_.shape.layers + 2 * spec_.shape.width);
  return 4 * (spec_.shape.vocabulary * spec_.shape.width + matrices + windows_at_once() * slot) + threads_.count() * scratch(n);
}

void DifferentiableDecoder::set_factors(const std::string& matrix, std::span<const float> factors) {
  factors_[matrix].assign(factors.begin(), factors.end());
  if (matrix == "output" || matrix == "token_embd") head_ = {};
  for (std::unique_ptr<Expanded>& layer : expanded_) layer.reset();
}

// rows are `first` and on of the stored matrix.
void DifferentiableDecoder::scale_rows(const std::string& matrix, i64 first, Matrix<float> rows) const {
  auto found = factors_.find(matrix);
  if (found == factors_.end()) return;
  for (i64 r = 0; r < rows.rows; r++)
    for (float& w : rows.row_span(r)) w *= found->second[static_cast<std::size_t>(first + r)];
}

OwnedMatrix<float> DifferentiableDecoder::expanded(const Projection& projection) {
  Shape shape = projection.linear->shape();
  OwnedMatrix<float> out(shape.rows, shape.cols);
  threads_.split(shape.rows, [&](i64 first, i64 last) {
    Matrix<float> rows = out.view().sub_rows(first, last - first);
    projection.linear->expand(first, rows);
    scale_rows(projection.name, projection.first + first, rows);
  });
  return out;
}

const DifferentiableDecoder::Expanded& DifferentiableDecoder::expand(std::size_t layer) {
  std::unique_ptr<Expanded>& place = expanded_[keep_expanded_ ? layer : 0];
  if (place && (keep_expanded_ || expanded_layer_ == layer)) return *place;
  const DecoderLayer& l = weights_.layers[layer];
  place.reset();
  place.reset(new Expanded{expanded(l.q), expanded(l.k), expanded(l.v), expanded(l.output), expanded(l.gate), expanded(l.up), expanded(l.down)});
  expanded_layer_ = layer;
  return *place;
}

void DifferentiableDecoder::prepare(std::span<const std::span<const Token>> windows, i64 layers) {
  i64 longest = 0;
  for (std::span<const Token> window : windows) longest = std::max(longest, static_cast<i64>(window.size()));
  CHECK(longest > 0 && static_cast<i64>(windows.size()) <= windows_at_once());
  if (head_.rows() == 0) {
    head_ = OwnedMatrix<float>(spec_.shape.vocabulary, spec_.shape.width);
    threads_.split(head_.rows(), [&](i64 first, i64 last) {
      Matrix<float> rows = head_.view().sub_rows(first, last - first);
      weights_.head_linear().expand(first, rows);
      scale_rows(weights_.head.linear ? "output" : "token_embd", first, rows);
    });
  }
  if (workers_.empty() || longest > slots_[0].last.rows() || layers > static_cast<i64>(slots_[0].layers.size())) {
    workers_.clear();
    slots_.clear();
    for (int i = 0; i < threads_.count(); i++) workers_.push_back(std::make_unique<Worker>(scratch(longest)));
    i64 width = spec_.shape.width, q = spec_.heads * spec_.head_dim, k = spec_.kv_heads * spec_.head_dim, v = spec_.kv_heads * spec_.value_dim;
    auto matrix = [&](i64 cols) { return OwnedMatrix<float>(longest, cols); };
    for (i64 i = 0; i < windows_at_once(); i++) {
      Slot& slot = slots_.emplace_back();
      for (i64 l = 0; l < layers; l++)
        slot.layers.push_back({matrix(width), matrix(q), matrix(k), matrix(v), matrix(spec_.heads * spec_.value_dim), matrix(width),
                               matrix(spec_.hidden), matrix(spec_.hidden), matrix(width)});
      slot.last = matrix(width);
      slot.d_x = matrix(width);
    }
    angles_.clear();
    angles_back_.clear();
    for (const RotarySpec& spec : spec_.rotaries) {
      Rotary rotary(spec.frequencies, spec.magnitude);
      OwnedMatrix<float>& table = angles_.emplace_back(longest, rotary.table_cols());
      rotary.fill(0, table.view(), workers_[0]->context);
      // The way back turns by the negative angle.
      OwnedMatrix<float>& back = angles_back_.emplace_back(longest, rotary.table_cols());
      copy(table.view(), back.view());
      for (i64 t = 0; t < longest; t++)
        for (i64 i = rotary.pairs(); i < rotary.table_cols(); i++) back(t, i) = -back(t, i);
    }
  }
  for (std::size_t i = 0; i < windows.size(); i++) {
    slots_[i].tokens = static_cast<i64>(windows[i].size());
    slots_[i].sums = {};
  }
}

// body(i, worker) for each window; a worker has whole windows.
template <class Body>
void DifferentiableDecoder::each_window(std::size_t count, Body&& body) {
  threads_.each([&](int w) {
    for (auto i = static_cast<std::size_t>(w); i < count; i += workers_.size()) body(i, *workers_[static_cast<std::size_t>(w)]);
  });
}

void DifferentiableDecoder::embed(Slot& slot, std::span<const Token> tokens, Worker& worker) const noexcept {
  Matrix<float> x = slot.rows(slot.layers[0].x);
  for (i64 t = 0; t < x.rows; t++) {
    Token id = tokens[static_cast<std::size_t>(t)];
    weights_.embedding->expand(id, x.sub_rows(t, 1));
    scale_rows("token_embd", id, x.sub_rows(t, 1));
  }
  if (spec_.embedding_scale != 1) scale(x, spec_.embedding_scale, worker.context);
}

void DifferentiableDecoder::turned(const DecoderLayer& layer, std::size_t rotary, const Saved& saved, Matrix<float> q, Matrix<float> k,
                                   Worker& worker) const noexcept {
  copy(saved.q.view().sub_rows(0, q.rows), q);
  copy(saved.k.view().sub_rows(0, k.rows), k);
  if (layer.q_norm.size() > 0) {
    rms_norm_heads(q, layer.q_norm.span(), spec_.epsilon, worker.context);
    rms_norm_heads(k, layer.k_norm.span(), spec_.epsilon, worker.context);
  }
  Matrix<const float> angles = angles_[rotary].view().sub_rows(0, q.rows);
  rotate(angles, RotaryPairs::halves, spec_.head_dim, q, worker.context);
  rotate(angles, RotaryPairs::halves, spec_.head_dim, k, worker.context);
}

void DifferentiableDecoder::layer_forward(std::size_t index, const Expanded& w, Slot& slot, Worker& worker) const noexcept {
  const DecoderLayer& l = weights_.layers[index];
  const bool shared = slot.layers.size() == 1;
  Saved& s = slot.layers[shared ? 0 : index];
  Context& context = worker.context;
  Arena& arena = worker.arena;
  Arena::Scope scope(arena);
  i64 n = slot.tokens, width = spec_.shape.width;
  auto apply = [&](const Projection& projection, const OwnedMatrix<float>& matrix, Matrix<const float> x, Matrix<float> y) {
    product(x, matrix.view(), y);
    projection.add_bias(y, context);
  };
  Matrix<float> x = slot.rows(s.x), next = slot.rows(index + 1 < slot.layers.size() ? slot.layers[index + 1].x : slot.last);
  Matrix<float> normed = arena.matrix<float>(n, width), delta = arena.matrix<float>(n, width);
  auto add_block = [&](Matrix<const float> block, const Buffer<float>& post_norm) {
    copy(block, delta);
    if (post_norm.size() > 0) rms_norm(delta, post_norm.span(), spec_.epsilon, delta, context);
    add(next, delta, context);
  };

  rms_norm(x, l.attention_norm.span(), spec_.epsilon, normed, context);
  apply(l.q, w.q, normed, slot.rows(s.q));
  apply(l.k, w.k, normed, slot.rows(s.k));
  apply(l.v, w.v, normed, slot.rows(s.v));
  {
    Arena::Scope attention_scope(arena);
    Matrix<float> q = arena.matrix<float>(n, s.q.cols()), k = arena.matrix<float>(n, s.k.cols());
    turned(l, spec_.layer[index].rotary, s, q, k, worker);
    attention(attention_of(spec_, index), q, k, slot.rows(s.v), slot.rows(s.mixed), context);
  }
  apply(l.output, w.output, slot.rows(s.mixed), slot.rows(s.attention));
  copy(x, next);
  add_block(slot.rows(s.attention), l.post_attention_norm);
  rms_norm(next, l.feed_forward_norm.span(), spec_.epsilon, normed, context);
  apply(l.gate, w.gate, normed, slot.rows(s.gate));
  apply(l.up, w.up, normed, slot.rows(s.up));
  Matrix<float> gated = arena.matrix<float>(n, spec_.hidden);
  gate_of(spec_.activation).forward(slot.rows(s.gate), slot.rows(s.up), gated, context);
  apply(l.down, w.down, gated, slot.rows(s.feed_forward));
  add_block(slot.rows(s.feed_forward), l.post_feed_forward_norm);
  if (shared && index + 1 < weights_.layers.size()) std::swap(s.x, slot.last);
}

void DifferentiableDecoder::collect(const Projection& p, Matrix<const float> x, Matrix<const float> d_y, Matrix<const float> y, Slot& slot) const {
  if (slot.wanted && x.data) {
    auto same = [&](const Slot::Weighed& w) { return w.matrix == p.name; };  // parts of a fused matrix share their input
    auto found = std::find_if(slot.weighed.begin(), slot.weighed.end(), same);
    if (found == slot.weighed.end())
      found = slot.weighed.insert(found, {p.name, x, std::vector<double>(static_cast<std::size_t>(x.rows))});
    for (i64 t = 0; t < d_y.rows; t++) {
      double sum = 0;
      for (float d : d_y.row_span(t)) sum += double{d} * d;
      found->weights[static_cast<std::size_t>(t)] += sum;
    }
  }
  RowDerivatives& rows = slot.sums.matrices[p.name];
  for (std::vector<double>* v : {&rows.square, &rows.factor, &rows.bias}) v->resize(static_cast<std::size_t>(p.total));
  double *square = rows.square.data() + p.first, *factor = rows.factor.data() + p.first, *bias = rows.bias.data() + p.first;
  constexpr i64 kRows = 512;  // whose sums stay in the nearest cache
  for (i64 first = 0; first < y.cols; first += kRows) {
    i64 last = std::min(first + kRows, y.cols);
    for (i64 t = 0; t < y.rows; t++) {
      const float *d = d_y.row(t), *out = y.row(t);
      for (i64 r = first; r < last; r++) {
        square[r] += d[r] * d[r];
        factor[r] += d[r] * out[r];
        bias[r] += d[r];
      }
    }
  }
  for (i64 r = 0; r < p.bias.size(); r++) factor[r] -= bias[r] * p.bias[r];
}

std::vector<double>& DifferentiableDecoder::gain_of(Slot& slot, std::string_view name, std::size_t layer, const Buffer<float>& gain) const {
  std::vector<double>& sum = slot.sums.gains[fmt::format("blk.{}.{}", layer, name)];
  sum.resize(static_cast<std::size_t>(gain.size()));
  return sum;
}

// slot.d_x: of what the layer gives, in; of what it gets, out.
void DifferentiableDecoder::layer_backward(std::size_t index, const Expanded& w, Slot& slot, Worker& worker) const noexcept {
  const DecoderLayer& l = weights_.layers[index];
  const Saved& s = slot.layers[index];
  Context& context = worker.context;
  Arena& arena = worker.arena;
  Arena::Scope scope(arena);
  i64 n = slot.tokens, width = spec_.shape.width;
  Matrix<float> d_x = slot.rows(slot.d_x);
  // x between the blocks, and what a block's derivative is before its post norm.
  Matrix<float> middle = arena.matrix<float>(n, width), d_block = arena.matrix<float>(n, width), d_normed = arena.matrix<float>(n, width);
  auto before_post_norm = [&](Matrix<const float> block, const Buffer<float>& gain, std::string_view name) -> Matrix<const float> {
    if (gain.size() == 0) return d_x;
    rms_norm_backward(block, gain.span(), spec_.epsilon, d_x, Sum::replace, d_block, gain_of(slot, name, index, gain));
    return d_block;
  };
  {
    Arena::Scope block(arena);
    Matrix<const float> gate = slot.rows(s.gate), up = slot.rows(s.up), y = slot.rows(s.feed_forward);
    Matrix<const float> d_y = before_post_norm(y, l.post_feed_forward_norm, "post_ffw_norm");
    if (slot.wanted) {
      gate_of(spec_.activation).forward(gate, up, slot.rows(slot.gated), context);
      copy(slot.rows(s.attention), middle);
      if (l.post_attention_norm.size() > 0) rms_norm(middle, l.post_attention_norm.span(), spec_.epsilon, middle, context);
      add(middle, slot.rows(s.x), context);
      rms_norm(middle, l.feed_forward_norm.span(), spec_.epsilon, slot.rows(slot.feed_forward_input), context);
      rms_norm(slot.rows(s.x), l.attention_norm.span(), spec_.epsilon, slot.rows(slot.attention_input), context);
    }
    collect(l.down, slot.rows(slot.gated), d_y, y, slot);
    Matrix<float> d_gate = arena.matrix<float>(n, spec_.hidden), d_up = arena.matrix<float>(n, spec_.hidden);
    product_backward(d_y, w.down.view(), Sum::replace, d_up);
    gate_backward(gate_of(spec_.activation), gate, up, d_up, d_gate, d_up);
    collect(l.gate, slot.rows(slot.feed_forward_input), d_gate, gate, slot);
    collect(l.up, slot.rows(slot.feed_forward_input), d_up, up, slot);
    product_backward(d_gate, w.gate.view(), Sum::replace, d_normed);
    product_backward(d_up, w.up.view(), Sum::add, d_normed);
    copy(slot.rows(s.attention), middle);
    if (l.post_attention_norm.size() > 0) rms_norm(middle, l.post_attention_norm.span(), spec_.epsilon, middle, context);
    add(middle, slot.rows(s.x), context);
    rms_norm_backward(middle, l.feed_forward_norm.span(), spec_.epsilon, d_normed, Sum::add, d_x,
                      gain_of(slot, "ffn_norm", index, l.feed_forward_norm));
  }
  Matrix<const float> y = slot.rows(s.attention);
  Matrix<const float> d_y = before_post_norm(y, l.post_attention_norm, "post_attention_norm");
  collect(l.output, slot.rows(s.mixed), d_y, y, slot);
  Matrix<float> d_mixed = arena.matrix<float>(n, s.mixed.cols());
  product_backward(d_y, w.output.view(), Sum::replace, d_mixed);
  Matrix<float> q = arena.matrix<float>(n, s.q.cols()), k = arena.matrix<float>(n, s.k.cols());
  Matrix<float> d_q = arena.matrix<float>(n, s.q.cols()), d_k = arena.matrix<float>(n, s.k.cols()), d_v = arena.matrix<float>(n, s.v.cols());
  std::size_t rotary = spec_.layer[index].rotary;
  turned(l, rotary, s, q, k, worker);
  attention_backward(attention_of(spec_, index), q, k, slot.rows(s.v), d_mixed, d_q, d_k, d_v, context);
  Matrix<const float> back = angles_back_[rotary].view().sub_rows(0, n);
  rotate(back, RotaryPairs::halves, spec_.head_dim, d_q, context);
  rotate(back, RotaryPairs::halves, spec_.head_dim, d_k, context);
  if (l.q_norm.size() > 0) {
    auto norm_back = [&](const OwnedMatrix<float>& x, const Buffer<float>& gain, Matrix<float> d, std::string_view name) {
      Matrix<float> heads = by_heads(d, spec_.head_dim);
      rms_norm_backward(by_heads(slot.rows(x), spec_.head_dim), gain.span(), spec_.epsilon, heads, Sum::replace, heads, gain_of(slot, name, index, gain));
    };
    norm_back(s.q, l.q_norm, d_q, "attn_q_norm");
    norm_back(s.k, l.k_norm, d_k, "attn_k_norm");
  }
  collect(l.q, slot.rows(slot.attention_input), d_q, slot.rows(s.q), slot);
  collect(l.k, slot.rows(slot.attention_input), d_k, slot.rows(s.k), slot);
  collect(l.v, slot.rows(slot.attention_input), d_v, slot.rows(s.v), slot);
  product_backward(d_q, w.q.view(), Sum::replace, d_normed);
  product_backward(d_k, w.k.view(), Sum::add, d_normed);
  product_backward(d_v, w.v.view(), Sum::add, d_normed);
  rms_norm_backward(slot.rows(s.x), l.attention_norm.span(), spec_.epsilon, d_normed, Sum::add, d_x,
                    gain_of(slot, "attn_norm", index, l.attention_norm));
}

void DifferentiableDecoder::head_backward(i64 window, const Loss& loss, Slot& slot, Worker& worker) const {
  Arena::Scope scope(worker.arena);
  i64 n = slot.tokens, width = spec_.shape.width, vocabulary = spec_.shape.vocabulary, step = head_tokens();
  Matrix<float> hidden = worker.arena.matrix<float>(n, width), d_hidden = worker.arena.matrix<float>(n, width);
  rms_norm(slot.rows(slot.last), weights_.last_norm.span(), spec_.epsilon, hidden, worker.context);
  float *of_z = worker.arena.take<float>(step * vocabulary), *of_logits = worker.arena.take<float>(step * vocabulary);
  std::vector<double> square(static_cast<std::size_t>(vocabulary)), token_square(static_cast<std::size_t>(n));
  Projection head{weights_.head.linear ? "output" : "token_embd", 0, vocabulary, nullptr, {}};
  for (i64 first = 0; first < n; first += step) {
    i64 rows = std::min(step, n - first);
    Matrix<float> z(of_z, rows, vocabulary), d_z(of_logits, rows, vocabulary);
    product(hidden.sub_rows(first, rows), head_.view(), z);
    copy(z, d_z);
    weights_.head.add_bias(d_z, worker.context);
    float cap = spec_.logit_softcap;
    if (cap > 0) {
      softcap(d_z, cap, worker.context);
      Matrix<float> slopes = z;  // until z is computed again below
      for (i64 t = 0; t < rows; t++)
        for (i64 r = 0; r < vocabulary; r++) slopes(t, r) = 1 - (d_z(t, r) / cap) * (d_z(t, r) / cap);
    }
    slot.sums.loss += loss({window, first, d_z, cap, square, std::span(token_square).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows))});
    if (cap > 0) {
      for (i64 t = 0; t < rows; t++)
        for (i64 r = 0; r < vocabulary; r++) d_z(t, r) *= z(t, r);
      product(hidden.sub_rows(first, rows), head_.view(), z);
    }
    collect(head, {}, d_z, z, slot);
    product_backward(d_z, head_.view(), Sum::replace, d_hidden.sub_rows(first, rows));
  }
  slot.sums.matrices[head.name].square = std::move(square);
  if (slot.wanted) {
    copy(hidden, slot.rows(slot.hidden));
    slot.weighed.push_back({head.name, slot.rows(slot.hidden), std::move(token_square)});
  }
  slot.sums.tokens = n;
  std::vector<double>& gain = slot.sums.gains["output_norm"];
  gain.resize(static_cast<std::size_t>(width));
  rms_norm_backward(slot.rows(slot.last), weights_.last_norm.span(), spec_.epsilon, d_hidden, Sum::replace, slot.rows(slot.d_x), gain);
}

void DifferentiableDecoder::embedding_backward(Slot& slot, std::span<const Token> tokens) const {
  Matrix<const float> x = slot.rows(slot.layers[0].x), d_x = slot.rows(slot.d_x);
  slot.sums.input.resize(static_cast<std::size_t>(x.cols));
  for (i64 t = 0; t < x.rows; t++) {
    double along = 0;
    for (i64 i = 0; i < x.cols; i++) {
      double d = double{d_x(t, i)} * spec_.embedding_scale;
      slot.sums.input[static_cast<std::size_t>(i)] += d * d;
      along += double{d_x(t, i)} * x(t, i);
    }
    if (!weights_.head.linear)
      slot.sums.matrices["token_embd"].factor[static_cast<std::size_t>(tokens[static_cast<std::size_t>(t)])] += along;
  }
}

void DifferentiableDecoder::forward_layers(std::span<const std::span<const Token>> windows, i64 kept) {
  prepare(windows, kept);
  each_window(windows.size(), [&](std::size_t i, Worker& worker) { embed(slots_[i], windows[i], worker); });
  for (std::size_t l = 0; l < weights_.layers.size(); l++) {
    const Expanded& w = expand(l);
    each_window(windows.size(), [&](std::size_t i, Worker& worker) { layer_forward(l, w, slots_[i], worker); });
  }
}

void DifferentiableDecoder::forward(std::span<const std::span<const Token>> windows, std::span<const Matrix<float>> out) {
  for (std::size_t at = 0; at < windows.size(); at += static_cast<std::size_t>(windows_at_once())) {
    auto some = windows.subspan(at, std::min(windows.size() - at, static_cast<std::size_t>(windows_at_once())));
    forward_layers(some, 1);
    each_window(some.size(), [&](std::size_t i, Worker& worker) {
      rms_norm(slots_[i].rows(slots_[i].last), weights_.last_norm.span(), spec_.epsilon, out[at + i], worker.context);
    });
  }
}

void DifferentiableDecoder::logits(Matrix<const float> hidden, Matrix<float> logits) const noexcept {
  product(hidden, head_.view(), logits);
  Threads alone(1);
  Arena arena(0);
  Context context{alone, arena, chosen_isa()};
  weights_.head.add_bias(logits, context);
  if (spec_.logit_softcap > 0) softcap(logits, spec_.logit_softcap, context);
}

// Window after window, each divided among the threads by tiles, so that sums are in one order.
void DifferentiableDecoder::add_moments(std::size_t windows, WeightedMoments& moments) {
  for (std::size_t m = 0; m < slots_[0].weighed.size(); m++) {
    WeightedMoment& moment = moments[slots_[0].weighed[m].matrix];
    for (std::size_t i = 0; i < windows; i++) {
      const Slot::Weighed& weighed = slots_[i].weighed[m];
      const Matrix<const float> x = weighed.x;
      if (moment.sum.rows() == 0) moment.sum = OwnedMatrix<float>(x.cols, x.cols);
      OwnedMatrix<float> scaled(x.rows, x.cols);
      threads_.split(x.rows, [&](i64 first, i64 last) {
        for (i64 t = first; t < last; t++) {
          const auto root = static_cast<float>(std::sqrt(weighed.weights[static_cast<std::size_t>(t)]));
          for (i64 c = 0; c < x.cols; c++) scaled(t, c) = root * x(t, c);
        }
      });
      add_moment(scaled.view(), moment.sum.view(), threads_);
      moment.tokens += x.rows;
      for (double w : weighed.weights) moment.weight += w;
    }
  }
  for (Slot& slot : slots_) slot.weighed.clear();
}

void DifferentiableDecoder::differentiate(std::span<const std::span<const Token>> windows, i64 first_window, const Loss& loss, Derivatives& sum,
                                          WeightedMoments* moments) {
  for (std::size_t at = 0; at < windows.size(); at += static_cast<std::size_t>(windows_at_once())) {
    auto some = windows.subspan(at, std::min(windows.size() - at, static_cast<std::size_t>(windows_at_once())));
    forward_layers(some, spec_.shape.layers);
    for (Slot& slot : slots_) {
      slot.wanted = moments != nullptr;
      slot.weighed.clear();
      const i64 longest = slot.last.rows(), width = spec_.shape.width;
      if (!moments || slot.hidden.rows() == longest) continue;
      slot.hidden = OwnedMatrix<float>(longest, width);
      slot.attention_input = OwnedMatrix<float>(longest, width);
      slot.feed_forward_input = OwnedMatrix<float>(longest, width);
      slot.gated = OwnedMatrix<float>(longest, spec_.hidden);
    }
    each_window(some.size(), [&](std::size_t i, Worker& worker) { head_backward(first_window + static_cast<i64>(at + i), loss, slots_[i], worker); });
    if (moments) add_moments(some.size(), *moments);
    for (std::size_t l = weights_.layers.size(); l-- > 0;) {
      const Expanded& w = expand(l);
      each_window(some.size(), [&](std::size_t i, Worker& worker) { layer_backward(l, w, slots_[i], worker); });
      if (moments) add_moments(some.size(), *moments);
    }
    each_window(some.size(), [&](std::size_t i, Worker&) { embedding_backward(slots_[i], some[i]); });
    for (std::size_t i = 0; i < some.size(); i++) sum.add(slots_[i].sums);
  }
}

}  // namespace bitkerf::backward
