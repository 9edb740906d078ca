#include "models/decoder_weights.h"

namespace bitkerf {
namespace {

// Row i of a q or k matrix whose heads turn halves, in one whose heads turn neighbours.
std::vector<i64> halves_from_neighbours(i64 heads, i64 head_dim, i64 pairs) {
  std::vector<i64> order;
  for (i64 head = 0; head < heads; head++) {
    for (i64 i = 0; i < head_dim; i++) {
      i64 from = i < pairs ? 2 * i : i < 2 * pairs ? 2 * (i - pairs) + 1 : i;
      order.push_back(head * head_dim + from);
    }
  }
  return order;
}

class Loader {
 public:
  Loader(const DecoderSpec& spec, LinearSource& source) : spec_(spec), source_(source) {
    // Built only where the file has as many rows, so that what metadata claim costs no memory; linear() refuses others.
    if (spec.interleaved && source.shape("blk.0.attn_q.weight").rows == spec.heads * spec.head_dim) {
      i64 pairs = static_cast<i64>(spec.rotaries[0].frequencies.size());
      q_order_ = halves_from_neighbours(spec.heads, spec.head_dim, pairs);
      k_order_ = halves_from_neighbours(spec.kv_heads, spec.head_dim, pairs);
    }
  }

  Buffer<float> norm(const std::string& name, i64 n) {
    Buffer<float> gain = source_.vector(name + ".weight", n);
    for (float& g : gain.span()) g += spec_.norm_offset;
    return gain;
  }

  Projection projection(const std::string& name, i64 outputs, i64 inputs, const Rows& rows = {}) {
    i64 total = rows.total > 0 ? rows.total : outputs;
    Projection p{name, rows.first, total, source_.linear(name, {outputs, inputs}, rows), {}};
    if (!source_.has(name + ".bias")) return p;
    Buffer<float> stored = source_.vector(name + ".bias", total);
    p.bias = Buffer<float>(outputs);
    for (i64 i = 0; i < outputs; i++) {
      p.bias[i] = stored[rows.first + (rows.order.empty() ? i : rows.order[static_cast<std::size_t>(i)])];
    }
    return p;
  }

  DecoderLayer layer(i64 index) {
    std::string at = fmt::format("blk.{}.", index);
    i64 width = spec_.shape.width;
    i64 q_rows = spec_.heads * spec_.head_dim, k_rows = spec_.kv_heads * spec_.head_dim,
        v_rows = spec_.kv_heads * spec_.value_dim;
    DecoderLayer l;
    l.attention_norm = norm(at + "attn_norm", width);
    if (spec_.fused_qkv) {
      i64 total = q_rows + k_rows + v_rows;
      l.q = projection(at + "attn_qkv", q_rows, width, {total, 0, {}});
      l.k = projection(at + "attn_qkv", k_rows, width, {total, q_rows, {}});
      l.v = projection(at + "attn_qkv", v_rows, width, {total, q_rows + k_rows, {}});
    } else {
      l.q = projection(at + "attn_q", q_rows, width, {0, 0, q_order_});
      l.k = projection(at + "attn_k", k_rows, width, {0, 0, k_order_});
      l.v = projection(at + "attn_v", v_rows, width);
    }
    if (spec_.head_norms) {
      l.q_norm = norm(at + "attn_q_norm", spec_.head_dim);
      l.k_norm = norm(at + "attn_k_norm", spec_.head_dim);
    }
    l.output = projection(at + "attn_output", width, spec_.heads * spec_.value_dim);
    if (spec_.post_norms) l.post_attention_norm = norm(at + "post_attention_norm", width);
    l.feed_forward_norm = norm(at + "ffn_norm", width);
    if (spec_.fused_gate_up) {
      l.gate = projection(at + "ffn_up", spec_.hidden, width, {2 * spec_.hidden, 0, {}});
      l.up = projection(at + "ffn_up", spec_.hidden, width, {2 * spec_.hidden, spec_.hidden, {}});
    } else {
      l.gate = projection(at + "ffn_gate", spec_.hidden, width);
      l.up = projection(at + "ffn_up", spec_.hidden, width);
    }
    l.down = projection(at + "ffn_down", width, spec_.hidden);
    if (spec_.post_norms) l.post_feed_forward_norm = norm(at + "post_ffw_norm", width);
    return l;
  }

 private:
  const DecoderSpec& spec_;
  LinearSource& source_;
  std::vector<i64> q_order_, k_order_;  // empty: as stored
};

}  // namespace

DecoderWeights load_decoder_weights(const DecoderSpec& spec, LinearSource& source) {
  Loader loader(spec, source);
  DecoderWeights weights;
  i64 width = spec.shape.width;
  weights.embedding = source.linear("token_embd", {spec.shape.vocabulary, width});
  for (i64 i = 0; i < spec.shape.layers; i++) weights.layers.push_back(loader.layer(i));
  weights.last_norm = loader.norm("output_norm", width);
  if (source.has("output.weight")) weights.head = loader.projection("output", spec.shape.vocabulary, width);
  return weights;
}

}  // namespace bitkerf
