// The parameters of a DecoderSpec, as a source gives them: what runs a decoder and what differentiates it
// (compress/backward/) load the same ones by the same names.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/decoder.h"

namespace bitkerf {

// A matrix with its bias: all rows of a stored matrix, or a part of a fused one.
struct Projection {
  std::string name;          // of the stored matrix: "blk.0.attn_q"
  i64 first = 0, total = 0;  // these are its rows [first, first + rows()) of `total`
  std::unique_ptr<Linear> linear;
  Buffer<float> bias;        // (rows) or empty

  i64 rows() const { return linear->shape().rows; }
  void add_bias(Matrix<float> y, Context& context) const noexcept {
    if (bias.size() > 0) bitkerf::add_bias(y, bias.span(), context);
  }
};

struct DecoderLayer {
  Buffer<float> attention_norm, feed_forward_norm;            // (width)
  Buffer<float> post_attention_norm, post_feed_forward_norm;  // (width) or empty
  Buffer<float> q_norm, k_norm;                               // (head_dim) or empty
  Projection q;         // (heads * head_dim, width)
  Projection k, v;      // (kv_heads * head_dim, width), (kv_heads * value_dim, width)
  Projection output;    // (width, heads * value_dim)
  Projection gate, up;  // (hidden, width)
  Projection down;      // (width, hidden)
};

struct DecoderWeights {
  std::unique_ptr<Linear> embedding;  // (vocabulary, width)
  std::vector<DecoderLayer> layers;
  Buffer<float> last_norm;            // (width)
  Projection head;                    // (vocabulary, width); no linear: the embedding

  const Linear& head_linear() const { return head.linear ? *head.linear : *embedding; }
};

// Gains include spec.norm_offset; rows of q and k are in the order of halves, whatever the file's.
DecoderWeights load_decoder_weights(const DecoderSpec& spec, LinearSource& source);

}  // namespace bitkerf
