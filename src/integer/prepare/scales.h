// Static scales of a decoder's edges, chosen on calibration text, and its weights as 8-bit codes.
#pragma once

#include <array>
#include <vector>

#include "integer/prepare/decoder_graph.h"

namespace bitkerf {

// What calibration saw at one edge of one layer, by column.
struct EdgeRange {
  std::vector<float> largest;   // |x|
  std::vector<double> squares;  // sum of x^2
  i64 tokens = 0;
};
struct EdgeRanges {
  std::vector<std::array<EdgeRange, kEdges>> layers;
  const EdgeRange& at(std::size_t layer, Edge edge) const { return layers[layer][static_cast<std::size_t>(edge)]; }
};
EdgeRanges watch_ranges(std::shared_ptr<const FoldedDecoder> folded, std::span<const std::vector<Token>> windows, Threads& threads,
                        const std::function<void(i64 done, i64 all)>& progress);

// How an input of products is rounded: column c to multiples of scale * stretch[c], codes up to levels(). What stretch
// takes from the input, the weights' column gives back.
struct InputScale {
  bool wide = false;           // 16 bits
  double scale = 1;
  std::vector<float> stretch;  // empty: all 1
  double error = 0;            // predicted: squared error of the products, relative to their squares
  int levels() const { return wide ? kWideLevels : 127; }
  double step(i64 col) const { return stretch.empty() ? scale : scale * stretch[static_cast<std::size_t>(col)]; }
  static constexpr int kWideLevels = 127 * 256;  // 256 high + low, both of 8 bits
};
// Weights (rows, cols) that multiply it. The stretch is picked to balance the rounding of inputs and of weights.
InputScale choose_input(const EdgeRange& range, Matrix<const float> weights, Threads& threads);

struct CodedMatrix {
  i64 rows = 0, cols = 0;
  std::vector<std::int8_t> codes;  // (rows, cols)
  std::vector<float> scales;       // (rows)
};
// Nearest codes of weights times the stretch, per row, -127 to 127.
CodedMatrix code_rows(Matrix<const float> weights, std::span<const float> stretch, Threads& threads);

struct LayerScales {
  double attention_input = 1, feed_input = 1;
  std::vector<double> q, k, v;  // of each head: of codes up to head_limit (v: 4095)
  InputScale mixed, gated;
  int up_bits = 0;  // up in multiples of 2^-up_bits
};
struct CodedLayer {
  CodedMatrix qkv, output, gate_up, down;
};
struct CodedDecoder {
  DecoderSpec spec;
  std::vector<LayerScales> scales;
  std::vector<CodedLayer> layers;
  CodedMatrix embedding, head;
  double last = 1;        // scale of the head's input
  int residual_bits = 0;  // the stream in multiples of 2^-residual_bits
  int head_limit = 4095;
};
inline constexpr int kValueLimit = 4095;
inline constexpr int kLogitBits = 14;

// Frees the floats of `folded` as it goes.
CodedDecoder code_decoder(FoldedDecoder& folded, const EdgeRanges& ranges, Threads& threads);

}  // namespace bitkerf
