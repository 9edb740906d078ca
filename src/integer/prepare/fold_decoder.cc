#include <algorithm>

#include "core/error.h"
#include "integer/prepare/decoder_graph.h"
#include "models/decoder_weights.h"
#include "models/file_source.h"
#include "models/list.h"
#include "transforms/hadamard.h"

namespace bitkerf {
namespace {

OwnedMatrix<float> expanded(const Linear& linear, Threads& threads) {
  OwnedMatrix<float> m(linear.shape().rows, linear.shape().cols);
  threads.split(m.rows(), [&](i64 first, i64 last) { linear.expand(first, m.view().sub_rows(first, last - first)); });
  return m;
}

OwnedMatrix<float> stacked(std::initializer_list<const Linear*> parts, Threads& threads) {
  i64 rows = 0;
  for (const Linear* part : parts) rows += part->shape().rows;
  OwnedMatrix<float> m(rows, (*parts.begin())->shape().cols);
  i64 at = 0;
  for (const Linear* part : parts) {
    OwnedMatrix<float> one = expanded(*part, threads);
    std::copy_n(one.view().data, one.rows() * one.cols(), m.view().row(at));
    at += one.rows();
  }
  return m;
}

// Rows of W become those of W diag(gain) T^-1, so that W norm(x) is the same of T x.
void fold_input(OwnedMatrix<float>& m, std::span<const float> gain, const Hadamard* rotation, Threads& threads) {
  threads.split(m.rows(), [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++) {
      float* row = m.view().row(r);
      if (!gain.empty())
        for (i64 c = 0; c < m.cols(); c++) row[c] *= gain[static_cast<std::size_t>(c)];
      if (rotation) rotation->weights(chosen_isa(), row, row);
    }
  });
}

// T W: what W gives is rotated, in groups of rows of the rotation's width from `first` on.
void fold_output(OwnedMatrix<float>& m, const Hadamard* rotation, i64 width, i64 first_row, i64 rows, Threads& threads) {
  if (!rotation) return;
  threads.split(m.cols(), [&](i64 first, i64 last) {
    std::vector<float> column(static_cast<std::size_t>(width));
    for (i64 c = first; c < last; c++) {
      for (i64 base = first_row; base < first_row + rows; base += width) {
        for (i64 r = 0; r < width; r++) column[static_cast<std::size_t>(r)] = m(base + r, c);
        rotation->input(chosen_isa(), column.data(), column.data());
        for (i64 r = 0; r < width; r++) m(base + r, c) = column[static_cast<std::size_t>(r)];
      }
    }
  });
}

// Columns in groups of the rotation's width: W diag(T^-1).
void fold_heads(OwnedMatrix<float>& m, const Hadamard* rotation, i64 width, Threads& threads) {
  if (!rotation) return;
  threads.split(m.rows(), [&](i64 first, i64 last) {
    for (i64 r = first; r < last; r++)
      for (i64 c = 0; c < m.cols(); c += width) rotation->weights(chosen_isa(), m.view().row(r) + c, m.view().row(r) + c);
  });
}

void check_kind(const ModelFile& file, const DecoderSpec& spec, const DecoderWeights& weights) {
  const decltype(spec.activation) known = silu_gate;
  const char* lacks = spec.activation != known     ? "another gate than SiLU"
                      : spec.head_norms            ? "norms of heads"
                      : spec.post_norms            ? "norms after its blocks"
                      : spec.attention_softcap > 0 || spec.logit_softcap > 0 ? "caps of scores or logits"
                                                                             : nullptr;
  for (const DecoderLayer& layer : weights.layers)
    for (const Projection* p : {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down})
      if (p->bias.size() > 0) lacks = "biases";
  if (lacks)
    throw Error(Fault::file, fmt::format("{}: architecture {} has {}; integer execution is there for decoders of Llama's kind", file.path(),
                                         spec.shape.architecture, lacks),
                "without --exec it runs in floats");
}

}  // namespace

FoldedDecoder fold_decoder(const ModelFile& file, const ModelOptions& options, Threads& threads, const std::function<void(i64, i64)>& progress) {
  FileSource source(file, "dense", threads, progress);
  FoldedDecoder folded;
  folded.spec = describe_decoder(file, source, options);
  DecoderSpec& spec = folded.spec;
  DecoderWeights weights = load_decoder_weights(spec, source);
  check_kind(file, spec, weights);
  auto rotation_of = [](i64 width) { return Hadamard::fits(width) ? std::make_unique<Hadamard>(width) : nullptr; };
  const std::unique_ptr<Hadamard> stream = rotation_of(spec.shape.width), values = rotation_of(spec.value_dim);
  const i64 q_rows = spec.heads * spec.head_dim, k_rows = spec.kv_heads * spec.head_dim, v_rows = spec.kv_heads * spec.value_dim;

  folded.head = expanded(weights.head_linear(), threads);
  fold_input(folded.head, weights.last_norm.span(), stream.get(), threads);
  weights.head.linear.reset();
  folded.embedding = expanded(*weights.embedding, threads);
  weights.embedding.reset();
  for (float& value : std::span(folded.embedding.view().data, static_cast<std::size_t>(folded.embedding.rows() * folded.embedding.cols())))
    value *= spec.embedding_scale;
  fold_input(folded.embedding, {}, stream.get(), threads);  // a token's row is a vector of the stream: T x, as T^-T = T
  for (DecoderLayer& layer : weights.layers) {
    FoldedLayer& f = folded.layers.emplace_back();
    f.qkv = stacked({layer.q.linear.get(), layer.k.linear.get(), layer.v.linear.get()}, threads);
    fold_input(f.qkv, layer.attention_norm.span(), stream.get(), threads);
    fold_output(f.qkv, values.get(), spec.value_dim, q_rows + k_rows, v_rows, threads);
    f.output = expanded(*layer.output.linear, threads);
    fold_heads(f.output, values.get(), spec.value_dim, threads);
    fold_output(f.output, stream.get(), spec.shape.width, 0, spec.shape.width, threads);
    f.gate_up = stacked({layer.gate.linear.get(), layer.up.linear.get()}, threads);
    fold_input(f.gate_up, layer.feed_forward_norm.span(), stream.get(), threads);
    f.down = expanded(*layer.down.linear, threads);
    fold_output(f.down, stream.get(), spec.shape.width, 0, spec.shape.width, threads);
    layer = {};
  }
  source.check_all_used();
  spec.shape.parameters = 2 * folded.embedding.rows() * folded.embedding.cols();
  for (const FoldedLayer& f : folded.layers)
    for (const OwnedMatrix<float>* m : {&f.qkv, &f.output, &f.gate_up, &f.down}) {
      spec.shape.parameters += m->rows() * m->cols();
      spec.shape.macs_per_token += static_cast<double>(m->rows() * m->cols());
    }
  spec.shape.head_macs = static_cast<double>(folded.head.rows() * folded.head.cols());
  return folded;
}

}  // namespace bitkerf
