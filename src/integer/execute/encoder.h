// An encoder of BERT's kind in integers alone, from token ids to the vector of a text (BCT): every edge between operators is
// one of the kinds of blocks.h, weights and tables are MXINT8 or MXINT4, parameters in vectors MXINT8.
#pragma once

#include <vector>

#include "files/tokenizer.h"
#include "integer/execute/blocks.h"

namespace bitkerf {

struct BlockNorm {
  BlockVector gain, bias;
};

struct BlockEncoderLayer {
  BlockMatrix q, k, v, output, up, down;
  BlockVector q_bias, k_bias, v_bias, output_bias, up_bias, down_bias;
  BlockNorm attention_norm, last_norm;
};

struct BlockEncoder {
  i64 width = 0, hidden = 0, heads = 0, context = 0;
  BlockTable tokens, positions, types;
  BlockNorm embedding_norm;
  std::vector<BlockEncoderLayer> layers;
  // Of norms: mantissa 2^exponent is epsilon times the width.
  std::int64_t epsilon = 0;
  std::int32_t epsilon_exponent = 0;
  std::int64_t root_width = 0;                   // sqrt(width) as Q20
  Dyadic score_scale;                            // of scores as Q16 to powers of two as Q16
  Buffer<std::int32_t> power_table, gate_table;  // see kernels.h; the gate is GELU's

  i64 bytes() const;  // of all that was learned: codes and powers of two
};

// Memory of one thread for texts of any length.
struct EncoderScratch {
  BlockScratch products;
  WideRows q, k, v, wide;
  BlockRows x, q_blocks, k_blocks, v_blocks, shares;
  ResidualRows residual;
  std::vector<std::int32_t> scores, row;
  std::vector<std::int16_t> weights;
  std::vector<std::int64_t> sums;
};

// The mean of the last layer over the tokens, length 1, as Q30: (width). 1 to model.context tokens, all known to the model.
void run_block_encoder(const BlockEncoder& model, std::span<const Token> tokens, const IntegerKernels& kernels, EncoderScratch& scratch,
                       std::span<std::int32_t> vector);

}  // namespace bitkerf
