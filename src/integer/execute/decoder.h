// A decoder of Llama's kind in integers alone, from token ids to logits (HAWQ-V3 for language models). What is built from
// floats before is here as codes, tables and dyadic factors; prepare/ builds it.
//
//   x: residual stream, 32 bits, one power of two as its scale
//   norm: x / |x| as Q30, times a dyadic gain per column, to 8 bits (static scale)
//   products: 8 x 8 bits to 32, or two of them where the input has 16 bits; a dyadic factor per row brings them to the
//   scale of what follows
//   q, k: 13 bits after rotation by 16-bit tables; scores 32 bits; softmax by a table of 2^-x, Q15; v: 13 bits
//   gate, up: 32 bits, SiLU by a table, a dyadic factor per column to 16 (or 8) bits
#pragma once

#include <memory>
#include <vector>

#include "core/context.h"
#include "files/tokenizer.h"
#include "integer/execute/panels.h"
#include "mixers/batch.h"
#include "mixers/mixer.h"

namespace bitkerf {

// A factor per row or column, all with one shift.
struct DyadicRow {
  Buffer<std::int32_t> multipliers;
  std::int32_t shift = 1;
};

struct IntegerProduct {
  IntegerPanels weights;
  bool wide = false;    // its input has 16 bits
  DyadicRow scale;      // (rows) of sums, to what reads them
  std::int32_t limit = 0;
};

struct IntegerDecoderLayer {
  DyadicRow attention_norm, feed_forward_norm;  // (width), of Q30 to codes
  IntegerProduct qkv;                           // rows of q, k and v, one below the other
  DyadicRow mixed;                              // (heads * value_dim), of Q15 sums of v to codes
  IntegerProduct output;
  IntegerProduct gate_up;                       // rows of gate (to Q16), then of up
  DyadicRow gated;                              // (hidden), of gate * up to codes
  IntegerProduct down;
  Buffer<Dyadic> score_scale;                   // (heads): of q . k to Q16 in powers of two
  i64 window = 0;
  std::size_t rotary = 0;
};

struct IntegerDecoder {
  i64 width = 0, hidden = 0, vocabulary = 0, heads = 0, kv_heads = 0, head_dim = 0, value_dim = 0;
  Buffer<std::int8_t> embedding;                 // (vocabulary, width)
  DyadicRow embedding_scale;                     // (vocabulary), to the residual's scale
  std::vector<IntegerDecoderLayer> layers;
  i64 epsilon = 0;                               // of norms, times the width, in squares of the residual's unit
  DyadicRow last_norm;                           // (width)
  IntegerProduct head;                           // to logits
  std::vector<Buffer<std::int16_t>> rotary;      // (context, pairs, cos and sin as Q14)
  std::vector<i64> rotary_pairs;
  std::int32_t head_limit = 0;                   // of rotated q and k: head_dim of their products fit 32 bits
  Buffer<std::int32_t> power_table, gate_table;  // see kernels.h
  i64 context = 0;
  // For those outside who want real numbers: logits are multiples of 2^-logit_bits.
  int logit_bits = 0;
};

// What a layer keeps of a sequence.
class IntegerCache final : public MixerState {
 public:
  IntegerCache(i64 max_tokens, i64 key_values, i64 value_values)
      : keys(max_tokens * key_values, false), values(max_tokens * value_values, false), bytes_(2 * (key_values + value_values)) {}
  i64 tokens() const override { return held; }
  void truncate(i64 tokens) noexcept override { held = tokens; }
  i64 bytes_per_token() const override { return bytes_; }
  Buffer<std::int16_t> keys, values;  // (tokens, kv_heads * head_dim or value_dim)
  i64 held = 0;

 private:
  i64 bytes_;
};

// states: of each run, its layers one after the other. hidden row j (width rounded up to 4): codes of batch row
// wanted[j], what the head multiplies.
void run_integer_decoder(const IntegerDecoder& model, std::span<const Token> tokens, const Batch& batch, std::span<IntegerCache* const> states,
                         std::span<const i64> wanted, Matrix<std::int8_t> hidden, const IntegerKernels& kernels, Context& context) noexcept;
i64 integer_decoder_scratch(const IntegerDecoder& model, i64 tokens, int threads);
// logits (n, >= vocabulary rounded up to 32)
void run_integer_head(const IntegerDecoder& model, Matrix<const std::int8_t> hidden, Matrix<std::int32_t> logits, const IntegerKernels& kernels,
                      Threads& threads) noexcept;

const IntegerKernels& integer_kernels(Isa isa);

}  // namespace bitkerf
