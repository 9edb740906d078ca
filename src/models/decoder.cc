#include "models/decoder.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "mixers/received.h"
#include "mixers/study_attention.h"
#include "models/decoder_weights.h"

namespace bitkerf {
namespace {

struct Layer : DecoderLayer {
  explicit Layer(DecoderLayer&& weights) : DecoderLayer(std::move(weights)) {}
  std::unique_ptr<Mixer> attention;
  std::size_t rotary = 0;

  // The matrices that read one input.
  std::array<const Linear*, 3> after_attention_norm() const { return {q.linear.get(), k.linear.get(), v.linear.get()}; }
  std::array<const Linear*, 2> after_feed_forward_norm() const { return {gate.linear.get(), up.linear.get()}; }
  std::array<const Linear*, 1> after_activation() const { return {down.linear.get()}; }
};

// Moves these rows (ascending) to the front.
void keep_rows(Matrix<float>& m, std::span<const i64> rows) noexcept {
  for (std::size_t i = 0; i < rows.size(); i++) std::copy_n(m.row(rows[i]), m.cols, m.row(static_cast<i64>(i)));
  m.rows = static_cast<i64>(rows.size());
}

class Decoder final : public Model {
 public:
  Decoder(const DecoderSpec& spec, LinearSource& source, const ModelOptions& options, Threads& threads) : spec_(spec), prune_(options.prune) {
    DecoderWeights weights = load_decoder_weights(spec_, source);
    embedding_ = std::move(weights.embedding);
    last_norm_ = std::move(weights.last_norm);
    head_ = std::move(weights.head);
    for (std::size_t i = 0; i < weights.layers.size(); i++) {
      Layer& layer = layers_.emplace_back(std::move(weights.layers[i]));
      AttentionShape attention{.heads = spec_.heads, .kv_heads = spec_.kv_heads, .head_dim = spec_.head_dim,
                               .value_dim = spec_.value_dim, .scale = spec_.attention_scale,
                               .softcap = spec_.attention_softcap, .window = spec_.layer[i].window};
      attention_.push_back(attention);
      const ProductMode* study = studied_products(options.form, "attention");
      layer.attention = study ? make_study_attention(attention, *study) : make_attention(attention, options.cache, threads.count());
      layer.rotary = spec_.layer[i].rotary;
    }
    for (const RotarySpec& rotary : spec_.rotaries) rotaries_.emplace_back(rotary.frequencies, rotary.magnitude);
    threads_ = threads.count();
    check_pruning();
    for (const Layer& layer : layers_) {
      remember_input(layer.after_attention_norm());
      remember_input(layer.after_feed_forward_norm());
      remember_input(layer.after_activation());
    }
    measure();
  }

  const ModelShape& shape() const override { return spec_.shape; }

  std::unique_ptr<SequenceState> new_sequence(i64 max_tokens) const override {
    std::vector<std::unique_ptr<MixerState>> states;
    for (const Layer& layer : layers_) states.push_back(layer.attention->state(max_tokens));
    std::vector<SequenceState::Pruned> pruned;
    for (const PruneStep& step : prune_) pruned.push_back({step.layer + 1, {}}), pruned.back().positions.reserve(static_cast<std::size_t>(max_tokens));
    return std::make_unique<SequenceState>(std::move(states), std::move(pruned));
  }

  void forward(std::span<const Token> tokens, const Batch& batch, std::span<SequenceState* const> sequences,
               std::span<const i64> wanted, Matrix<float> hidden, Context& context) const noexcept override {
    Arena::Scope scope(context.arena);
    i64 n = batch.tokens;
    Matrix<float> x = context.arena.matrix<float>(n, spec_.shape.width);
    // Of one input of products: each is made when the one before has been read.
    std::byte* inputs = context.arena.take<std::byte>(input_scratch(n));
    Matrix<float> delta = context.arena.matrix<float>(n, spec_.shape.width);
    std::array<Matrix<float>, kMostRotaries> angles;
    for (std::size_t i = 0; i < rotaries_.size(); i++) {
      angles[i] = context.arena.matrix<float>(n, rotaries_[i].table_cols());
      for (const Run& run : batch.runs)
        rotaries_[i].fill(run.position, angles[i].sub_rows(run.first, run.tokens), context);
    }
    MixerState** states = context.arena.take<MixerState*>(static_cast<i64>(sequences.size()));
    Going going{batch, wanted};
    if (!prune_.empty()) going.reserve(batch, wanted, context);
    std::size_t pruned = 0;

    look_up(tokens, x, context);
    ProductInput input(layers_[0].after_attention_norm(), n, context, inputs);
    rms_norm(x, layers_[0].attention_norm.span(), spec_.epsilon, input, context);
    for (std::size_t i = 0; i < layers_.size(); i++) {
      const Layer& layer = layers_[i];
      for (std::size_t s = 0; s < sequences.size(); s++) states[s] = sequences[s]->layer(static_cast<i64>(i));
      {
        Arena::Scope attention_scope(context.arena);
        Matrix<float> mixed = context.arena.matrix<float>(x.rows, spec_.heads * spec_.value_dim);
        const bool prunes = pruned < prune_.size() && prune_[pruned].layer == static_cast<i64>(i);
        mix(layer, input, angles[layer.rotary], going.batch, {states, sequences.size()}, mixed, prunes ? going.received : nullptr, context);
        if (prunes) {
          // What goes on from here is all that later layers see.
          const std::span<const i64> kept = leave_out(pruned, going, sequences);
          keep_rows(mixed, kept);
          keep_rows(x, kept);
          for (std::size_t r = 0; r < rotaries_.size(); r++) keep_rows(angles[r], kept);
          delta.rows = x.rows;
          pruned++;
        }
        if (i + 1 == layers_.size()) {
          // Nothing after the last attention looks at other tokens: only the wanted rows go on.
          if (wanted.empty()) return;
          keep_rows(mixed, going.wanted);
          keep_rows(x, going.wanted);
          delta.rows = x.rows;
        }
        apply(layer.output, mixed, delta, context);
      }
      input = ProductInput(layer.after_feed_forward_norm(), x.rows, context, inputs);
      add_block(layer.post_attention_norm, layer.feed_forward_norm, x, delta, input, context);
      feed_forward(layer, input, inputs, delta, context);
      if (i + 1 == layers_.size()) {
        add_block(layer.post_feed_forward_norm, last_norm_, x, delta, hidden, context);
      } else {
        const Layer& next = layers_[i + 1];
        input = ProductInput(next.after_attention_norm(), x.rows, context, inputs);
        add_block(layer.post_feed_forward_norm, next.attention_norm, x, delta, input, context);
      }
    }
  }

  i64 scratch(i64 tokens, i64 max_tokens) const override {
    auto floats = [](i64 rows, i64 cols) { return Arena::bytes_of<float>(rows * cols); };
    i64 width = spec_.shape.width, bytes = 2 * floats(tokens, width) + Arena::bytes_of<MixerState*>(tokens) +
                     Arena::bytes_of<std::byte>(input_scratch(tokens));
    for (const Rotary& rotary : rotaries_) bytes += floats(tokens, rotary.table_cols());
    if (!prune_.empty()) bytes += Going::scratch(tokens);
    const Layer& l = layers_[0];
    i64 mixed = floats(tokens, spec_.heads * spec_.value_dim);
    i64 qkv = floats(tokens, l.q.rows()) + floats(tokens, l.k.rows()) + floats(tokens, l.v.rows());
    i64 most = 0;
    for (const Layer& layer : layers_) {
      const Linear* outputs[] = {layer.output.linear.get()};
      most = std::max(
          {most, mixed + qkv + std::max({multiply_scratch(layer.after_attention_norm(), tokens), layer.attention->scratch(tokens, max_tokens),
                                       prune_.empty() ? 0 : attention_received_scratch(attention_[0], tokens, threads_)}),
           mixed + multiply_scratch(outputs, tokens),
           2 * floats(tokens, spec_.hidden) +
               std::max(multiply_scratch(layer.after_feed_forward_norm(), tokens),
                        multiply_scratch(layer.after_activation(), tokens))});
    }
    return bytes + most;
  }

  void head(Matrix<const float> hidden, Matrix<float> logits, Context& context) const noexcept override {
    Arena::Scope scope(context.arena);
    Product product{&head_linear(), logits};
    multiply({&product, 1}, hidden, context);
    head_.add_bias(logits, context);
    if (spec_.logit_softcap > 0) softcap(logits, spec_.logit_softcap, context);
  }

  i64 head_scratch(i64 n) const override {
    const Linear* linear = &head_linear();
    return multiply_scratch({&linear, 1}, n);
  }

 private:
  static constexpr std::size_t kMostRotaries = 4;

  // What of a step is still computed: all of it, unless tokens are pruned.
  struct Going {
    Batch batch;
    std::span<const i64> wanted;
    Run* runs = nullptr;
    i64 *kept = nullptr, *rows = nullptr;  // (tokens); wanted rows
    float* received = nullptr;             // (tokens)
    void reserve(const Batch& all, std::span<const i64> want, Context& context) noexcept {
      runs = context.arena.take<Run>(static_cast<i64>(all.runs.size()));
      kept = context.arena.take<i64>(all.tokens);
      rows = context.arena.take<i64>(all.tokens);
      received = context.arena.take<float>(all.tokens);
      std::copy(all.runs.begin(), all.runs.end(), runs);
      std::copy(want.begin(), want.end(), rows);
      batch.runs = {runs, all.runs.size()};
      wanted = {rows, want.size()};
    }
    static i64 scratch(i64 tokens) { return Arena::bytes_of<Run>(tokens) + 2 * Arena::bytes_of<i64>(tokens) + Arena::bytes_of<float>(tokens); }
  };

  // Leaves tokens of prompts out after prune_[step], and says which rows stay. Runs then count positions as the layers behind do:
  // by what these hold.
  std::span<const i64> leave_out(std::size_t step, Going& going, std::span<SequenceState* const> sequences) const noexcept {
    i64 all = 0, next = 0;
    for (std::size_t r = 0; r < going.batch.runs.size(); r++) {
      Run& run = going.runs[r];
      i64* kept = going.kept + all;
      i64 count = run.tokens;
      if (run.prompt) count = choose_kept(going.received + run.first, run.tokens, prune_[step].keep, run.position == 0, kept);
      else
        for (i64 t = 0; t < count; t++) kept[t] = t;
      std::vector<i64>& held = sequences[r]->pruned(step);  // has room
      const auto position = static_cast<i64>(held.size());
      for (i64 t = 0; t < count; t++) {
        held.push_back(step == 0 ? run.position + kept[t] : sequences[r]->pruned(step - 1)[static_cast<std::size_t>(run.position + kept[t])]);
        kept[t] += run.first;
      }
      run = {all, count, position, run.prompt};
      all += count;
    }
    // Wanted rows are a prompt's last, or of runs that are none: they stay.
    for (std::size_t w = 0; w < going.wanted.size(); w++) {
      while (next < all && going.kept[next] < going.rows[w]) next++;
      CHECK(next < all && going.kept[next] == going.rows[w]);
      going.rows[w] = next;
    }
    going.batch.tokens = all;
    return {going.kept, static_cast<std::size_t>(all)};
  }

  void check_pruning() const {
    if (prune_.empty()) return;
    const auto layers = static_cast<i64>(layers_.size());
    if (prune_.back().layer + 1 >= layers)
      fail(Fault::usage, "token pruning after layer {}: expected one from 0 to {}, so that a layer behind it is spared something", prune_.back().layer, layers - 2);
    for (i64 i = prune_[0].layer + 1; i < layers; i++)
      if (i64 window = spec_.layer[static_cast<std::size_t>(i)].window; window > 0 && window < spec_.shape.context)
        fail(Fault::usage, "token pruning: layer {} sees a window of {} tokens, which would reach further back where tokens are missing; expected a model without windows", i, window);
  }

  const Linear& head_linear() const { return head_.linear ? *head_.linear : *embedding_; }

  static void apply(const Projection& projection, Matrix<const float> x, Matrix<float> y, Context& context) noexcept {
    Product product{projection.linear.get(), y};
    multiply({&product, 1}, x, context);
    projection.add_bias(y, context);
  }

  void look_up(std::span<const Token> tokens, Matrix<float> x, Context& context) const noexcept {
    auto rows = [&](i64 first, i64 last) {
      for (i64 t = first; t < last; t++) embedding_->expand(tokens[static_cast<std::size_t>(t)], x.sub_rows(t, 1));
    };
    if (x.rows == 1) rows(0, 1);
    else context.threads.split(x.rows, rows);
    if (spec_.embedding_scale != 1) scale(x, spec_.embedding_scale, context);
  }

  i64 input_scratch(i64 tokens) const {
    i64 bytes = 0;
    for (const std::vector<const Linear*>& readers : inputs_)
      bytes = std::max(bytes, ProductInput::scratch(readers, tokens, threads_));
    return bytes;
  }
  // Layers are mostly alike: keeps one set of readers of each size.
  void remember_input(std::span<const Linear* const> readers) {
    auto size = [&](std::span<const Linear* const> r, i64 tokens) { return ProductInput::scratch(r, tokens, threads_); };
    for (const std::vector<const Linear*>& known : inputs_)
      if (size(known, 1) == size(readers, 1) && size(known, 4096) == size(readers, 4096)) return;
    inputs_.emplace_back(readers.begin(), readers.end());
  }

  void mix(const Layer& layer, const ProductInput& normed, Matrix<const float> angles, const Batch& batch,
           std::span<MixerState* const> states, Matrix<float> mixed, float* received, Context& context) const noexcept {
    Arena::Scope scope(context.arena);
    Matrix<float> q = context.arena.matrix<float>(normed.tokens(), layer.q.rows());
    Matrix<float> k = context.arena.matrix<float>(normed.tokens(), layer.k.rows());
    Matrix<float> v = context.arena.matrix<float>(normed.tokens(), layer.v.rows());
    Product products[] = {{layer.q.linear.get(), q}, {layer.k.linear.get(), k}, {layer.v.linear.get(), v}};
    multiply(products, normed, context);
    layer.q.add_bias(q, context);
    layer.k.add_bias(k, context);
    layer.v.add_bias(v, context);
    if (layer.q_norm.size() > 0) {
      rms_norm_heads(q, layer.q_norm.span(), spec_.epsilon, context);
      rms_norm_heads(k, layer.k_norm.span(), spec_.epsilon, context);
    }
    rotate(angles, RotaryPairs::halves, spec_.head_dim, q, context);
    rotate(angles, RotaryPairs::halves, spec_.head_dim, k, context);
    if (received)
      for (const Run& run : batch.runs)
        if (run.prompt && run.tokens >= kLeastPruned)
          attention_received(q.sub_rows(run.first, run.tokens), k.sub_rows(run.first, run.tokens), attention_[static_cast<std::size_t>(&layer - layers_.data())],
                             received + run.first, context);
    layer.attention->mix(q, k, v, batch, states, mixed, context);
  }

  // memory: of `normed`, which is read before it is used again.
  void feed_forward(const Layer& layer, const ProductInput& normed, std::byte* memory, Matrix<float> y,
                    Context& context) const noexcept {
    Arena::Scope scope(context.arena);
    Matrix<float> gate = context.arena.matrix<float>(normed.tokens(), spec_.hidden);
    Matrix<float> up = context.arena.matrix<float>(normed.tokens(), spec_.hidden);
    Product products[] = {{layer.gate.linear.get(), gate}, {layer.up.linear.get(), up}};
    multiply(products, normed, context);
    layer.gate.add_bias(gate, context);
    layer.up.add_bias(up, context);
    ProductInput gated(layer.after_activation(), gate.rows, context, memory);
    spec_.activation(gate, up, gated, context);
    Product product{layer.down.linear.get(), y};
    multiply({&product, 1}, gated, context);
    layer.down.add_bias(y, context);
  }

  // x += [post_norm](delta); normed = norm(x)
  template <class Rows>  // a matrix, or the input of products
  void add_block(const Buffer<float>& post_norm, const Buffer<float>& next_norm, Matrix<float> x, Matrix<float> delta,
                 const Rows& normed, Context& context) const noexcept {
    if (post_norm.size() > 0) rms_norm(delta, post_norm.span(), spec_.epsilon, delta, context);
    add_rms_norm(x, delta, next_norm.span(), spec_.epsilon, normed, context);
  }

  void measure() {
    ModelShape& shape = spec_.shape;
    auto count = [&](const Projection& p) {
      shape.weight_bytes += p.linear->bytes() + p.bias.size() * static_cast<i64>(sizeof(float));
      shape.macs_per_token += static_cast<double>(p.linear->shape().rows) * static_cast<double>(p.linear->shape().cols);
      shape.parameters += p.linear->shape().rows * p.linear->shape().cols + p.bias.size();
    };
    for (const Layer& l : layers_) {
      for (const Projection* p : {&l.q, &l.k, &l.v, &l.output, &l.gate, &l.up, &l.down}) count(*p);
      for (const Buffer<float>* norm : {&l.attention_norm, &l.feed_forward_norm, &l.post_attention_norm,
                                        &l.post_feed_forward_norm, &l.q_norm, &l.k_norm}) {
        shape.parameters += norm->size();
      }
    }
    i64 table = shape.vocabulary * shape.width;
    shape.parameters += last_norm_.size() + table * (head_.linear ? 2 : 1);
    shape.weight_bytes += head_linear().bytes();
    shape.head_macs = static_cast<double>(table);
  }

  DecoderSpec spec_;
  std::unique_ptr<Linear> embedding_;  // (vocabulary, width)
  std::vector<PruneStep> prune_;
  std::vector<AttentionShape> attention_;  // by layer
  std::vector<Layer> layers_;
  Buffer<float> last_norm_;  // (width)
  Projection head_;          // (vocabulary, width); none: the embedding
  std::vector<Rotary> rotaries_;
  int threads_ = 1;
  std::vector<std::vector<const Linear*>> inputs_;  // readers of one input, of each size
};

}  // namespace

std::unique_ptr<Model> make_decoder(const DecoderSpec& spec, LinearSource& source, const ModelOptions& options,
                                    Threads& threads) {
  return std::make_unique<Decoder>(spec, source, options, threads);
}

}  // namespace bitkerf
