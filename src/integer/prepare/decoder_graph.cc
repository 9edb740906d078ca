#include "integer/prepare/decoder_graph.h"

#include <algorithm>

#include "compress/backward/blocks.h"

extern "C" void openblas_set_num_threads(int count);

namespace bitkerf {
namespace {

class GraphModel final : public Model {
 public:
  GraphModel(std::shared_ptr<const FoldedDecoder> folded, std::shared_ptr<EdgeObserver> observer, int threads)
      : folded_(std::move(folded)), spec_(folded_->spec), observer_(std::move(observer)), ones_(spec_.shape.width) {
    openblas_set_num_threads(1);
    std::fill_n(ones_.data(), ones_.size(), 1.0f);
    for (i64 i = 0; i < spec_.shape.layers; i++)
      attention_.push_back(make_attention({.heads = spec_.heads, .kv_heads = spec_.kv_heads, .head_dim = spec_.head_dim, .value_dim = spec_.value_dim,
                                           .scale = spec_.attention_scale, .window = spec_.layer[static_cast<std::size_t>(i)].window},
                                          CacheType::f32, threads));
    for (const RotarySpec& rotary : spec_.rotaries) rotaries_.emplace_back(rotary.frequencies, rotary.magnitude);
  }

  const ModelShape& shape() const override { return spec_.shape; }

  std::unique_ptr<SequenceState> new_sequence(i64 max_tokens) const override {
    std::vector<std::unique_ptr<MixerState>> states;
    for (const std::unique_ptr<Mixer>& attention : attention_) states.push_back(attention->state(max_tokens));
    return std::make_unique<SequenceState>(std::move(states));
  }

  void forward(std::span<const Token> tokens, const Batch& batch, std::span<SequenceState* const> sequences, std::span<const i64> wanted,
               Matrix<float> hidden, Context& context) const noexcept override {
    Arena::Scope scope(context.arena);
    const i64 n = batch.tokens, width = spec_.shape.width;
    auto matrix = [&](i64 cols) { return context.arena.matrix<float>(n, cols); };
    Matrix<float> x = matrix(width), normed = matrix(width), delta = matrix(width), mixed = matrix(spec_.heads * spec_.value_dim);
    Matrix<float> qkv = matrix(folded_->layers[0].qkv.rows()), gate_up = matrix(2 * spec_.hidden), gated = matrix(spec_.hidden);
    MixerState** states = context.arena.take<MixerState*>(static_cast<i64>(sequences.size()));
    std::vector<Matrix<float>> angles;
    for (const Rotary& rotary : rotaries_) {
      angles.push_back(matrix(rotary.table_cols()));
      for (const Run& run : batch.runs) rotary.fill(run.position, angles.back().sub_rows(run.first, run.tokens), context);
    }
    const i64 q_cols = spec_.heads * spec_.head_dim, k_cols = spec_.kv_heads * spec_.head_dim, v_cols = spec_.kv_heads * spec_.value_dim;
    Matrix<float> q = matrix(q_cols), k = matrix(k_cols), v = matrix(v_cols);

    for (i64 t = 0; t < n; t++) std::copy_n(folded_->embedding.view().row(tokens[static_cast<std::size_t>(t)]), width, x.row(t));
    for (std::size_t i = 0; i < folded_->layers.size(); i++) {
      const FoldedLayer& layer = folded_->layers[i];
      see(i, Edge::residual, x);
      rms_norm(x, ones_.span(), spec_.epsilon, normed, context);
      see(i, Edge::attention_input, normed);
      product(normed, layer.qkv, qkv, context);
      for (i64 t = 0; t < n; t++) {
        std::copy_n(qkv.row(t), q_cols, q.row(t));
        std::copy_n(qkv.row(t) + q_cols, k_cols, k.row(t));
        std::copy_n(qkv.row(t) + q_cols + k_cols, v_cols, v.row(t));
      }
      const std::size_t rotary = spec_.layer[i].rotary;
      rotate(angles[rotary], RotaryPairs::halves, spec_.head_dim, q, context);
      rotate(angles[rotary], RotaryPairs::halves, spec_.head_dim, k, context);
      see(i, Edge::q, q);
      see(i, Edge::k, k);
      see(i, Edge::v, v);
      for (std::size_t s = 0; s < sequences.size(); s++) states[s] = sequences[s]->layer(static_cast<i64>(i));
      attention_[i]->mix(q, k, v, batch, {states, sequences.size()}, mixed, context);
      see(i, Edge::mixed, mixed);
      product(mixed, layer.output, delta, context);
      add(x, delta, context);
      see(i, Edge::residual, x);
      rms_norm(x, ones_.span(), spec_.epsilon, normed, context);
      see(i, Edge::feed_input, normed);
      product(normed, layer.gate_up, gate_up, context);
      see(i, Edge::gate, gate_up.sub_cols(0, spec_.hidden));
      see(i, Edge::up, gate_up.sub_cols(spec_.hidden, spec_.hidden));
      silu_gate(gate_up.sub_cols(0, spec_.hidden), gate_up.sub_cols(spec_.hidden, spec_.hidden), gated, context);
      see(i, Edge::gated, gated);
      product(gated, layer.down, delta, context);
      add(x, delta, context);
    }
    see(folded_->layers.size() - 1, Edge::residual, x);
    rms_norm(x, ones_.span(), spec_.epsilon, normed, context);
    see(0, Edge::last, normed);
    for (std::size_t j = 0; j < wanted.size(); j++) std::copy_n(normed.row(wanted[j]), width, hidden.row(static_cast<i64>(j)));
  }

  i64 scratch(i64 tokens, i64 max_tokens) const override {
    auto floats = [&](i64 cols) { return Arena::bytes_of<float>(tokens * cols); };
    const i64 width = spec_.shape.width;
    i64 bytes = 3 * floats(width) + floats(spec_.heads * spec_.value_dim) + 2 * floats(folded_->layers[0].qkv.rows()) + 4 * Arena::bytes_of<float>(0) +
                floats(2 * spec_.hidden) + floats(spec_.hidden) + Arena::bytes_of<MixerState*>(tokens);
    for (const Rotary& rotary : rotaries_) bytes += floats(rotary.table_cols());
    i64 most = 0;
    for (const std::unique_ptr<Mixer>& attention : attention_) most = std::max(most, attention->scratch(tokens, max_tokens));
    return bytes + most;
  }

  void head(Matrix<const float> hidden, Matrix<float> logits, Context& context) const noexcept override {
    product(hidden, folded_->head, logits, context);
  }
  i64 head_scratch(i64) const override { return 0; }

 private:
  void see(std::size_t layer, Edge edge, Matrix<float> values) const noexcept {
    if (observer_) observer_->see(layer, edge, values);
  }
  static void product(Matrix<const float> x, const OwnedMatrix<float>& w, Matrix<float> y, Context& context) noexcept {
    context.threads.split(w.rows(), [&](i64 first, i64 last) {
      backward::product(x, w.view().sub_rows(first, last - first), y.sub_cols(first, last - first));
    });
  }

  std::shared_ptr<const FoldedDecoder> folded_;
  const DecoderSpec& spec_;
  std::shared_ptr<EdgeObserver> observer_;
  Buffer<float> ones_;
  std::vector<std::unique_ptr<Mixer>> attention_;
  std::vector<Rotary> rotaries_;
};

}  // namespace

std::unique_ptr<Model> make_graph_model(std::shared_ptr<const FoldedDecoder> folded, std::shared_ptr<EdgeObserver> observer, Threads& threads) {
  return std::make_unique<GraphModel>(std::move(folded), std::move(observer), threads.count());
}

}  // namespace bitkerf
