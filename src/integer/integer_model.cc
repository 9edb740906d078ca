#include "integer/integer_model.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "integer/prepare/build_decoder.h"
#include "models/list.h"

namespace bitkerf {
namespace {

// The integer decoder as a Model. What is between forward() and head() is theirs alone, so rows of `hidden` hold the codes
// as bytes; only when the logits are done do they become floats.
class IntegerModel final : public Model {
 public:
  IntegerModel(IntegerDecoder decoder, ModelShape shape, int threads) : decoder_(std::move(decoder)), shape_(std::move(shape)), threads_(threads) {}

  const ModelShape& shape() const override { return shape_; }
  std::unique_ptr<SequenceState> new_sequence(i64 max_tokens) const override {
    std::vector<std::unique_ptr<MixerState>> states;
    for (std::size_t i = 0; i < decoder_.layers.size(); i++)
      states.push_back(std::make_unique<IntegerCache>(max_tokens, decoder_.kv_heads * decoder_.head_dim, decoder_.kv_heads * decoder_.value_dim));
    return std::make_unique<SequenceState>(std::move(states));
  }
  i64 scratch(i64 tokens, i64) const override {
    return integer_decoder_scratch(decoder_, tokens, threads_) +
           Arena::bytes_of<IntegerCache*>(tokens * static_cast<i64>(decoder_.layers.size()));
  }
  void forward(std::span<const Token> tokens, const Batch& batch, std::span<SequenceState* const> sequences, std::span<const i64> wanted,
               Matrix<float> hidden, Context& context) const noexcept override {
    Arena::Scope scope(context.arena);
    const std::size_t layers = decoder_.layers.size();
    auto** states = context.arena.take<IntegerCache*>(static_cast<i64>(sequences.size() * layers));
    for (std::size_t s = 0; s < sequences.size(); s++)
      for (std::size_t i = 0; i < layers; i++) states[s * layers + i] = static_cast<IntegerCache*>(sequences[s]->layer(static_cast<i64>(i)));
    run_integer_decoder(decoder_, tokens, batch, {states, sequences.size() * layers}, wanted,
                        {reinterpret_cast<std::int8_t*>(hidden.data), static_cast<i64>(wanted.size()), round_up<i64>(decoder_.width, 4),
                         hidden.stride * static_cast<i64>(sizeof(float))},
                        integer_kernels(context.isa), context);
  }
  void head(Matrix<const float> hidden, Matrix<float> logits, Context& context) const noexcept override {
    Arena::Scope scope(context.arena);
    Matrix<std::int32_t> integers = context.arena.matrix<std::int32_t>(hidden.rows, round_up(decoder_.vocabulary, kIntegerRows));
    run_integer_head(decoder_, {reinterpret_cast<const std::int8_t*>(hidden.data), hidden.rows, round_up<i64>(decoder_.width, 4),
                                hidden.stride * static_cast<i64>(sizeof(float))}, integers, integer_kernels(context.isa), context.threads);
    // Exact: integers of at most 24 bits times a power of two.
    const float unit = std::ldexp(1.0f, -decoder_.logit_bits);
    context.threads.split(hidden.rows, [&](i64 first, i64 last) {
      for (i64 t = first; t < last; t++)
        for (i64 v = 0; v < decoder_.vocabulary; v++) logits(t, v) = static_cast<float>(integers(t, v)) * unit;
    });
  }
  i64 head_scratch(i64 n) const override { return Arena::bytes_of<std::int32_t>(n * round_up(decoder_.vocabulary, kIntegerRows)); }

 private:
  IntegerDecoder decoder_;
  ModelShape shape_;
  int threads_;
};

CodedDecoder coded_decoder(const ModelFile& file, const IntegerOptions& options, Threads& threads, const std::function<void(i64, i64)>& progress) {
  CHECK(!options.windows.empty());
  check_runs(file, "run");
  auto folded = std::make_shared<FoldedDecoder>(fold_decoder(file, options.model, threads, progress));
  for (const std::vector<Token>& window : options.windows)
    for (Token token : window)
      if (token < 0 || token >= folded->spec.shape.vocabulary)
        fail(Fault::file, "{}: the tokenizer gives token {}, the model has {}", file.path(), token, folded->spec.shape.vocabulary);
  EdgeRanges ranges = watch_ranges(folded, options.windows, threads, {});
  return code_decoder(*folded, ranges, threads);
}

ModelShape shape_of(const CodedDecoder& coded) {
  ModelShape shape = coded.spec.shape;
  auto bytes = [](const CodedMatrix& m) { return m.rows * m.cols + m.rows * static_cast<i64>(sizeof(std::int32_t)); };
  for (const CodedLayer& c : coded.layers)
    for (const CodedMatrix* m : {&c.qkv, &c.output, &c.gate_up, &c.down}) shape.weight_bytes += bytes(*m);
  shape.weight_bytes += bytes(coded.head);
  return shape;
}

}  // namespace

std::unique_ptr<Model> load_integer_decoder(const ModelFile& file, const IntegerOptions& options, Threads& threads,
                                            const std::function<void(i64, i64)>& progress) {
  CodedDecoder coded = coded_decoder(file, options, threads, progress);
  IntegerDecoder decoder = build_integer_decoder(coded, chosen_context(options.model.context, coded.spec.shape.context), threads);
  return std::make_unique<IntegerModel>(std::move(decoder), shape_of(coded), threads.count());
}

std::unique_ptr<Model> load_rescaled_decoder(const ModelFile& file, const IntegerOptions& options, Threads& threads,
                                             const std::function<void(i64, i64)>& progress) {
  CodedDecoder coded = coded_decoder(file, options, threads, progress);
  return make_graph_model(std::make_shared<FoldedDecoder>(rescaled_decoder(coded, threads)), rounding_observer(coded), threads);
}

}  // namespace bitkerf
