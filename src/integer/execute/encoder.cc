#include "integer/execute/encoder.h"

#include <algorithm>

namespace bitkerf {
namespace {

using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;

constexpr int kNormBits = 20;  // what a norm gives is Q20

class Encoding {
 public:
  Encoding(const BlockEncoder& model, std::span<const Token> tokens, const IntegerKernels& kernels, EncoderScratch& scratch)
      : m_(model), tokens_(tokens), n_(static_cast<i64>(tokens.size())), k_(kernels), s_(scratch) {}

  void run(std::span<i32> vector) {
    embed();
    norm(m_.embedding_norm);
    for (const BlockEncoderLayer& layer : m_.layers) {
      attend(layer);
      multiply_blocks(layer.output, layer.output_bias, s_.x, s_.wide, k_, s_.products);
      add_residual();
      norm(layer.attention_norm);
      multiply_blocks(layer.up, layer.up_bias, s_.x, s_.wide, k_, s_.products);
      gelu();
      multiply_blocks(layer.down, layer.down_bias, s_.x, s_.wide, k_, s_.products);
      add_residual();
      norm(layer.last_norm);
    }
    pool(vector);
  }

 private:
  // wide = sum of the tables' rows
  void embed() {
    s_.wide.resize(n_, m_.width);
    s_.sums.resize(static_cast<std::size_t>(m_.width));
    for (i64 t = 0; t < n_; t++) {
      std::fill(s_.sums.begin(), s_.sums.end(), 0);
      m_.tokens.add_row(tokens_[static_cast<std::size_t>(t)], s_.sums.data());
      m_.positions.add_row(t, s_.sums.data());
      m_.types.add_row(0, s_.sums.data());
      finish_row(s_.sums.data(), nullptr, -24, nullptr, m_.width, s_.wide, t);
    }
  }

  // wide += residual
  void add_residual() noexcept {
    for (i64 t = 0; t < n_; t++) {
      i32* row = s_.wide.row(t);
      const i16* around = s_.residual.row(t);
      int wide = 0;
      for (i64 c = 0; c < m_.width; c++) wide = std::max(wide, bits_of(row[c]));
      const int exponent = std::max(wide + s_.wide.exponent(t), 15 + s_.residual.exponent(t)) - 28;
      for (i64 c = 0; c < m_.width; c++)
        row[c] = static_cast<i32>(aligned(row[c], s_.wide.exponent(t) - exponent, i64{1} << 28) +
                                  aligned(around[c], s_.residual.exponent(t) - exponent, i64{1} << 28));
      s_.wide.exponent(t) = exponent;
    }
  }

  // From wide: x, and the residual.
  void norm(const BlockNorm& norm) {
    s_.x.resize(n_, m_.width);
    s_.residual.resize(n_, m_.width);
    s_.row.resize(static_cast<std::size_t>(m_.width));
    for (i64 t = 0; t < n_; t++) {
      i32* row = s_.wide.row(t);
      k_.center(row, m_.width);
      const i64 epsilon = aligned(m_.epsilon, m_.epsilon_exponent - 2 * s_.wide.exponent(t), i64{1} << 60);
      k_.normalize(row, epsilon, m_.width, row);
      int bits = 0;
      for (i64 c = 0; c < m_.width; c++) {
        const i64 unit = (row[c] * m_.root_width + (i64{1} << 29)) >> 30;  // Q20
        const i64 scaled = aligned(unit * norm.gain.codes[c], norm.gain.exponents[c / kBlock], i64{1} << 29);
        row[c] = static_cast<i32>(scaled + aligned(norm.bias.codes[c], norm.bias.exponents[c / kBlock] + kNormBits, i64{1} << 29));
        bits = std::max(bits, bits_of(row[c]));
      }
      k_.to_blocks(row, -kNormBits, m_.width, s_.x.row(t), s_.x.exponent_row(t));
      const int drop = bits - 15;
      for (i64 c = 0; c < m_.width; c++) s_.residual.row(t)[c] = static_cast<i16>(aligned(row[c], -drop, 32767));
      s_.residual.exponent(t) = drop - kNormBits;
    }
  }

  static void to_blocks(const WideRows& from, const IntegerKernels& kernels, BlockRows& to) {
    to.resize(from.rows, from.cols);
    for (i64 t = 0; t < from.rows; t++) kernels.to_blocks(from.row(t), from.exponent(t), from.cols, to.row(t), to.exponent_row(t));
  }

  // Positions are what shares and values are summed over, so that is along which their blocks lie: values are turned.
  void turn_values() {
    int most = -1000;
    for (i64 t = 0; t < n_; t++) most = std::max(most, s_.v.exponent(t));
    const i64 cols = round_up(n_, kBlock);
    s_.v_blocks.resize(m_.width, cols);
    s_.row.assign(static_cast<std::size_t>(cols), 0);
    for (i64 c = 0; c < m_.width; c++) {
      for (i64 t = 0; t < n_; t++) s_.row[static_cast<std::size_t>(t)] = static_cast<i32>(aligned(s_.v.row(t)[c], s_.v.exponent(t) - most, i64{1} << 29));
      k_.to_blocks(s_.row.data(), most, cols, s_.v_blocks.row(c), s_.v_blocks.exponent_row(c));
    }
  }

  // From x: what attention mixes, as x.
  void attend(const BlockEncoderLayer& layer) {
    multiply_blocks(layer.q, layer.q_bias, s_.x, s_.q, k_, s_.products);
    multiply_blocks(layer.k, layer.k_bias, s_.x, s_.k, k_, s_.products);
    multiply_blocks(layer.v, layer.v_bias, s_.x, s_.v, k_, s_.products);
    to_blocks(s_.q, k_, s_.q_blocks);
    to_blocks(s_.k, k_, s_.k_blocks);
    turn_values();
    int most = -128;  // of values' powers of two
    for (i8 exponent : s_.v_blocks.exponents) most = std::max<int>(most, exponent);
    const i64 head = m_.width / m_.heads, cols = s_.v_blocks.cols, blocks = s_.v_blocks.blocks();
    const int base = most - 7 - 30;  // shares are below 1, so their powers of two at most 2^-7
    s_.scores.resize(static_cast<std::size_t>(cols));
    s_.weights.resize(static_cast<std::size_t>(cols));
    s_.shares.resize(1, cols);
    s_.sums.resize(static_cast<std::size_t>(m_.width));
    s_.wide.resize(n_, m_.width);
    for (i64 t = 0; t < n_; t++) {
      for (i64 h = 0; h < m_.heads; h++) {
        for (i64 j = 0; j < n_; j++) s_.scores[static_cast<std::size_t>(j)] = score(t, j, h * head, (h + 1) * head);
        k_.softmax(s_.scores.data(), m_.score_scale, m_.power_table.data(), n_, s_.weights.data());
        for (i64 j = 0; j < cols; j++) s_.scores[static_cast<std::size_t>(j)] = j < n_ ? s_.weights[static_cast<std::size_t>(j)] : 0;
        k_.to_blocks(s_.scores.data(), -15, cols, s_.shares.row(0), s_.shares.exponent_row(0));
        for (i64 c = h * head; c < (h + 1) * head; c++) {
          i64 sum = 0;
          for (i64 b = 0; b < blocks; b++) {
            const i64 dot = k_.dot_bytes(s_.shares.row(0) + b * kBlock, s_.v_blocks.row(c) + b * kBlock, kBlock);
            sum += aligned(dot, s_.shares.exponent_row(0)[b] + s_.v_blocks.exponent_row(c)[b] - base, i64{1} << 54);
          }
          s_.sums[static_cast<std::size_t>(c)] = sum;
        }
      }
      finish_row(s_.sums.data(), nullptr, base, nullptr, m_.width, s_.wide, t);
    }
    to_blocks(s_.wide, k_, s_.x);
  }

  // q . k over columns [first, last) as Q16. A head may be a part of a block, or several.
  i32 score(i64 query, i64 key, i64 first, i64 last) const noexcept {
    i64 sum = 0;
    while (first < last) {
      const i64 end = std::min(last, (first / kBlock + 1) * kBlock), block = first / kBlock;
      const i64 dot = k_.dot_bytes(s_.q_blocks.row(query) + first, s_.k_blocks.row(key) + first, end - first);
      sum += aligned(dot, s_.q_blocks.exponent_row(query)[block] + s_.k_blocks.exponent_row(key)[block] + 16, i64{1} << 40);
      first = end;
    }
    return static_cast<i32>(std::clamp(sum, -(i64{1} << 30), i64{1} << 30));
  }

  // From wide: x
  void gelu() {
    s_.x.resize(n_, s_.wide.cols);
    for (i64 t = 0; t < n_; t++) {
      i32* row = s_.wide.row(t);
      for (i64 c = 0; c < s_.wide.cols; c++) row[c] = static_cast<i32>(aligned(row[c], s_.wide.exponent(t) + 16, i64{1} << 27));
      k_.gate(row, m_.gate_table.data(), s_.wide.cols, row);
      k_.to_blocks(row, -16, s_.wide.cols, s_.x.row(t), s_.x.exponent_row(t));
    }
  }

  void pool(std::span<i32> vector) noexcept {
    int most = -1000, bits = 0;
    for (i64 t = 0; t < n_; t++) most = std::max(most, s_.residual.exponent(t));
    for (i64 c = 0; c < m_.width; c++) {
      i64& sum = s_.sums[static_cast<std::size_t>(c)];
      sum = 0;
      for (i64 t = 0; t < n_; t++) sum += aligned(s_.residual.row(t)[c], s_.residual.exponent(t) - most + 12, i64{1} << 40);
      bits = std::max(bits, bits_of(sum));
    }
    for (i64 c = 0; c < m_.width; c++)
      vector[static_cast<std::size_t>(c)] = static_cast<i32>(aligned(s_.sums[static_cast<std::size_t>(c)], 29 - bits, i64{1} << 29));
    k_.normalize(vector.data(), 0, m_.width, vector.data());
  }

  const BlockEncoder& m_;
  std::span<const Token> tokens_;
  const i64 n_;
  const IntegerKernels& k_;
  EncoderScratch& s_;
};

}  // namespace

i64 BlockEncoder::bytes() const {
  i64 sum = tokens.bytes() + positions.bytes() + types.bytes();
  auto norm = [](const BlockNorm& n) { return n.gain.bytes() + n.bias.bytes(); };
  sum += norm(embedding_norm);
  for (const BlockEncoderLayer& l : layers) {
    for (const BlockMatrix* m : {&l.q, &l.k, &l.v, &l.output, &l.up, &l.down}) sum += m->bytes();
    for (const BlockVector* v : {&l.q_bias, &l.k_bias, &l.v_bias, &l.output_bias, &l.up_bias, &l.down_bias}) sum += v->bytes();
    sum += norm(l.attention_norm) + norm(l.last_norm);
  }
  return sum;
}

void run_block_encoder(const BlockEncoder& model, std::span<const Token> tokens, const IntegerKernels& kernels, EncoderScratch& scratch,
                       std::span<i32> vector) {
  Encoding(model, tokens, kernels, scratch).run(vector);
}

}  // namespace bitkerf
