// An encoder in blocks: against the same graph in double, and bit for bit on every instruction set.
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "core/cpu.h"
#include "integer/execute/decoder.h"
#include "integer/prepare/encoder_blocks.h"
#include "integer/prepare/tables.h"

namespace bitkerf {
namespace {

using Rows = std::vector<std::vector<double>>;

// Between operators there are integers and nothing else.
static_assert(std::is_same_v<decltype(WideRows::values)::value_type, std::int32_t> && std::is_same_v<decltype(ResidualRows::values)::value_type, std::int16_t> &&
              std::is_same_v<decltype(BlockRows::codes)::value_type, std::int8_t> && std::is_same_v<decltype(BlockRows::exponents)::value_type, std::int8_t> &&
              std::is_same_v<decltype(EncoderScratch::scores)::value_type, std::int32_t> && std::is_same_v<decltype(EncoderScratch::sums)::value_type, std::int64_t> &&
              std::is_same_v<decltype(EncoderScratch::weights)::value_type, std::int16_t> && std::is_same_v<decltype(EncoderScratch::row)::value_type, std::int32_t>);

// Weights of a tiny encoder, drawn; heads of 16 columns share blocks.
struct Tiny {
  static constexpr i64 width = 64, hidden = 160, heads = 4, vocabulary = 40, layers = 2, context = 80;
  struct Linear { OwnedMatrix<float> w; std::vector<float> bias; };
  struct Norm { std::vector<float> gain, bias; };
  struct Layer { Linear q, k, v, output, up, down; Norm attention_norm, last_norm; };
  std::mt19937 random{11};  // before what is drawn
  OwnedMatrix<float> tokens, positions, types;
  Norm norm;
  std::vector<Layer> layer;

  Tiny() : tokens(drawn(vocabulary, width, 1)), positions(drawn(context, width, 0.3)), types(drawn(2, width, 0.1)), norm(drawn_norm()) {
    for (i64 i = 0; i < layers; i++)
      layer.push_back({linear(width, width), linear(width, width), linear(width, width), linear(width, width), linear(hidden, width), linear(width, hidden),
                       drawn_norm(), drawn_norm()});
  }
  float draw(double deviation) { return static_cast<float>(std::normal_distribution<double>(0, deviation)(random)); }
  OwnedMatrix<float> drawn(i64 rows, i64 cols, double deviation) {
    OwnedMatrix<float> m(rows, cols);
    for (i64 r = 0; r < rows; r++)
      for (i64 c = 0; c < cols; c++) m(r, c) = draw(deviation);
    return m;
  }
  Linear linear(i64 rows, i64 cols) {
    Linear l{drawn(rows, cols, 1.5 / std::sqrt(static_cast<double>(cols))), {}};
    for (i64 r = 0; r < rows; r++) l.bias.push_back(draw(0.3));
    return l;
  }
  Norm drawn_norm() {
    Norm n;
    for (i64 c = 0; c < width; c++) n.gain.push_back(1 + draw(0.2)), n.bias.push_back(draw(0.2));
    return n;
  }
};

Rows times(const Rows& x, const Tiny::Linear& l) {
  Rows y(x.size(), std::vector<double>(static_cast<std::size_t>(l.w.rows())));
  for (std::size_t t = 0; t < x.size(); t++)
    for (i64 r = 0; r < l.w.rows(); r++) {
      double sum = l.bias[static_cast<std::size_t>(r)];
      for (i64 c = 0; c < l.w.cols(); c++) sum += l.w(r, c) * x[t][static_cast<std::size_t>(c)];
      y[t][static_cast<std::size_t>(r)] = sum;
    }
  return y;
}

void add_norm(Rows& x, const Rows* delta, const Tiny::Norm& norm) {
  for (std::size_t t = 0; t < x.size(); t++) {
    double mean = 0, variance = 0;
    auto n = static_cast<double>(x[t].size());
    for (std::size_t c = 0; c < x[t].size(); c++) mean += (x[t][c] += delta ? (*delta)[t][c] : 0) / n;
    for (double v : x[t]) variance += (v - mean) * (v - mean) / n;
    for (std::size_t c = 0; c < x[t].size(); c++) x[t][c] = (x[t][c] - mean) / std::sqrt(variance + 1e-12) * norm.gain[c] + norm.bias[c];
  }
}

std::vector<double> in_double(const Tiny& m, std::span<const Token> tokens) {
  Rows x(tokens.size(), std::vector<double>(Tiny::width));
  for (std::size_t t = 0; t < x.size(); t++)
    for (i64 c = 0; c < Tiny::width; c++)
      x[t][static_cast<std::size_t>(c)] = static_cast<double>(m.tokens(tokens[t], c)) + m.positions(static_cast<i64>(t), c) + m.types(0, c);
  add_norm(x, nullptr, m.norm);
  constexpr std::size_t head = Tiny::width / Tiny::heads;
  for (const Tiny::Layer& l : m.layer) {
    Rows q = times(x, l.q), k = times(x, l.k), v = times(x, l.v), mixed(x.size(), std::vector<double>(Tiny::width));
    for (std::size_t t = 0; t < x.size(); t++)
      for (std::size_t h = 0; h < Tiny::heads; h++) {
        std::vector<double> weights;
        double sum = 0;
        for (std::size_t j = 0; j < x.size(); j++) {
          double dot = 0;
          for (std::size_t c = h * head; c < (h + 1) * head; c++) dot += q[t][c] * k[j][c];
          sum += weights.emplace_back(std::exp(dot / std::sqrt(static_cast<double>(head))));
        }
        for (std::size_t j = 0; j < x.size(); j++)
          for (std::size_t c = h * head; c < (h + 1) * head; c++) mixed[t][c] += weights[j] / sum * v[j][c];
      }
    Rows delta = times(mixed, l.output);
    add_norm(x, &delta, l.attention_norm);
    Rows up = times(x, l.up);
    for (std::vector<double>& row : up)
      for (double& value : row) value *= normal_distribution(value);
    delta = times(up, l.down);
    add_norm(x, &delta, l.last_norm);
  }
  std::vector<double> mean(Tiny::width);
  double squares = 0;
  for (const std::vector<double>& row : x)
    for (std::size_t c = 0; c < mean.size(); c++) mean[c] += row[c];
  for (double v : mean) squares += v * v;
  for (double& v : mean) v /= std::sqrt(squares);
  return mean;
}

BlockEncoder in_blocks(const Tiny& m, int bits, Threads& threads) {
  BlockEncoder e;
  e.width = Tiny::width, e.hidden = Tiny::hidden, e.heads = Tiny::heads, e.context = Tiny::context;
  e.tokens = block_table(m.tokens.view(), bits, threads);
  e.positions = block_table(m.positions.view(), bits, threads);
  e.types = block_table(m.types.view(), bits, threads);
  auto norm = [](const Tiny::Norm& n) { return BlockNorm{block_vector(n.gain), block_vector(n.bias)}; };
  e.embedding_norm = norm(m.norm);
  for (const Tiny::Layer& l : m.layer) {
    auto matrix = [&](const Tiny::Linear& one) { return block_matrix(one.w.view(), bits, threads); };
    e.layers.push_back({matrix(l.q), matrix(l.k), matrix(l.v), matrix(l.output), matrix(l.up), matrix(l.down), block_vector(l.q.bias), block_vector(l.k.bias),
                        block_vector(l.v.bias), block_vector(l.output.bias), block_vector(l.up.bias), block_vector(l.down.bias), norm(l.attention_norm),
                        norm(l.last_norm)});
  }
  e.root_width = static_cast<i64>(std::lround(std::sqrt(64.0) * 0x1p20));
  e.score_scale = dyadic(std::log2(std::exp(1.0)) / 4);
  e.power_table = power_table();
  e.gate_table = gate_table(normal_distribution);
  return e;
}

TEST(BlockEncoder, FollowsTheSameGraphInDouble) {
  Tiny tiny;
  Threads threads(2);
  for (int bits : {8, 4}) {
    BlockEncoder encoder = in_blocks(tiny, bits, threads);
    double least = 1;
    for (i64 length : {1, 2, 7, 31, 32, 33, 80}) {
      std::vector<Token> tokens;
      for (i64 t = 0; t < length; t++) tokens.push_back(static_cast<Token>((t * 17 + length) % Tiny::vocabulary));
      std::vector<double> expected = in_double(tiny, tokens);
      std::vector<std::int32_t> vector(Tiny::width), first;
      for (const IsaRow& row : isas()) {
        if (!runs(row.isa)) continue;
        EncoderScratch scratch;
        std::vector<Token> other(tokens.rbegin(), tokens.rend());  // what was in memory before does not matter
        if (row.isa == chosen_isa()) run_block_encoder(encoder, other, integer_kernels(row.isa), scratch, vector);
        run_block_encoder(encoder, tokens, integer_kernels(row.isa), scratch, vector);
        if (!first.empty()) { EXPECT_EQ(vector, first) << row.name; }
        first = vector;
      }
      double cosine = 0, squares = 0;
      for (std::size_t c = 0; c < vector.size(); c++) {
        cosine += vector[c] * 0x1p-30 * expected[c];
        squares += std::pow(vector[c] * 0x1p-30, 2);
      }
      EXPECT_NEAR(squares, 1, 1e-5);
      least = std::min(least, cosine);
    }
    std::printf("  %d bits: least cosine %.6f\n", bits, least);
    EXPECT_GT(least, bits == 8 ? 0.998 : 0.85);
  }
}

TEST(BlockEncoder, ProductsOfBlocksAreTheirValues) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  Threads threads(1);
  for (int bits : {4, 8})
    for (i64 rows : {5, 32, 70})
      for (i64 cols : {32, 33, 96}) {
        OwnedMatrix<float> w(rows, cols);
        for (i64 r = 0; r < rows; r++)
          for (i64 c = 0; c < cols; c++) w(r, c) = std::ldexp(std::round(std::clamp(normal(random) * 2, -7.0f, 7.0f)), static_cast<int>((r + c / 32) % 5) - 3);
        EXPECT_TRUE(fits_four_bits(w.view(), threads));
        BlockMatrix matrix = block_matrix(w.view(), bits, threads);
        std::vector<float> bias_values(static_cast<std::size_t>(rows), 0.375f);
        BlockVector bias = block_vector(bias_values);
        BlockRows x;
        x.resize(4, round_up(cols, kBlock));
        for (std::int8_t& code : x.codes) code = static_cast<std::int8_t>(random() % 255 - 127);
        for (i64 t = 0; t < 4; t++)
          for (i64 c = cols; c < x.cols; c++) x.row(t)[c] = 0;
        for (std::int8_t& e : x.exponents) e = static_cast<std::int8_t>(random() % 15 - 7);
        WideRows y;
        BlockScratch scratch;
        for (const IsaRow& row : isas()) {
          if (!runs(row.isa)) continue;
          multiply_blocks(matrix, bias, x, y, integer_kernels(row.isa), scratch);
          for (i64 t = 0; t < 4; t++)
            for (i64 r = 0; r < rows; r++) {
              double exact = 0.375;
              for (i64 c = 0; c < cols; c++) exact += w(r, c) * std::ldexp(x.row(t)[c], x.exponent_row(t)[c / kBlock]);
              ASSERT_NEAR(std::ldexp(y.row(t)[r], y.exponent(t)), exact, std::ldexp(1.01, y.exponent(t)));
            }
        }
      }
}

}  // namespace
}  // namespace bitkerf
