// A decoder (models/decoder.h) in float32 that can be differentiated: what calibration learns of how much each output
// matters, and what tuning moves, comes from here. The description and the parameters are those that run it.
//
// Derivatives are taken in activations only, so a pass costs two products per matrix instead of three; what is wanted of
// parameters (gains, biases, a factor on each row of a matrix) are sums of products of activations and their derivatives.
// Matrices are expanded as they are used, one layer at a time; each thread works on a window of its own, so results have
// the same bits for any number of threads.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compress/backward/losses.h"
#include "models/decoder_weights.h"

namespace bitkerf::backward {

// Of the outputs y_r of one matrix, d_r = d loss / d y_r, summed over tokens.
struct RowDerivatives {
  std::vector<double> square;  // d_r^2
  std::vector<double> factor;  // d_r (y_r - bias_r): of the loss in log f_r, where row r is multiplied by f_r
  std::vector<double> bias;    // d_r
};

struct Derivatives {
  i64 tokens = 0;
  double loss = 0;
  // By the name of a stored matrix, its rows in the order that models load them in: "blk.0.attn_q"; parts of a fused
  // matrix where they lie in it. The head is "output" or, tied, "token_embd", whose factors count its use as the
  // embedding too.
  std::map<std::string, RowDerivatives> matrices;
  std::map<std::string, std::vector<double>> gains;  // "blk.0.attn_norm"; "blk.0.attn_q_norm" sums over heads
  std::vector<double> input;                         // (width): squares of derivatives in the embedding's output

  void add(const Derivatives& other);
};

// Of the inputs x of one matrix: sums over tokens, each weighed by w, the sum over the matrix's outputs of d_r^2.
struct WeightedMoment {
  i64 tokens = 0;
  double weight = 0;       // w
  OwnedMatrix<float> sum;  // (cols, cols) w x x^T, upper triangle
};
using WeightedMoments = std::map<std::string, WeightedMoment>;

class DifferentiableDecoder {
 public:
  // keep_expanded: hold all matrices as floats instead of expanding them at each use.
  DifferentiableDecoder(const DecoderSpec& spec, DecoderWeights weights, Threads& threads, bool keep_expanded = false);
  ~DifferentiableDecoder();

  const DecoderSpec& spec() const { return spec_; }
  DecoderWeights& weights() { return weights_; }  // gains and biases may be changed between calls
  // Rows of the matrix with this name are multiplied by these from now on.
  void set_factors(const std::string& matrix, std::span<const float> factors);

  // After the last norm: out[i] (windows[i].size(), width).
  void forward(std::span<const std::span<const Token>> windows, std::span<const Matrix<float>> out);
  // hidden (tokens, width), after the last norm, to logits. May be called from several threads.
  void logits(Matrix<const float> hidden, Matrix<float> logits) const noexcept;
  // The loss and its derivatives, added to `sum` window by window; loss(task) gets window numbers from first_window on.
  // moments: of every matrix's input, or nullptr.
  void differentiate(std::span<const std::span<const Token>> windows, i64 first_window, const Loss& loss, Derivatives& sum,
                     WeightedMoments* moments = nullptr);

  // Windows that are worked on at a time, and the memory that takes beside the model.
  i64 windows_at_once() const;
  i64 bytes(i64 window_tokens) const;

 private:
  struct Saved;     // activations of one layer that the way back reads
  struct Slot;      // one window on its way
  struct Expanded;  // matrices of one layer as floats
  struct Worker;    // a thread's scratch memory

  void prepare(std::span<const std::span<const Token>> windows, i64 layers);
  const Expanded& expand(std::size_t layer);
  OwnedMatrix<float> expanded(const Projection& projection);
  void scale_rows(const std::string& matrix, i64 first, Matrix<float> rows) const;
  void embed(Slot& slot, std::span<const Token> tokens, Worker& worker) const noexcept;
  void layer_forward(std::size_t index, const Expanded& w, Slot& slot, Worker& worker) const noexcept;
  void layer_backward(std::size_t index, const Expanded& w, Slot& slot, Worker& worker) const noexcept;
  void head_backward(i64 window, const Loss& loss, Slot& slot, Worker& worker) const;
  void add_moments(std::size_t windows, WeightedMoments& moments);
  void embedding_backward(Slot& slot, std::span<const Token> tokens) const;
  void forward_layers(std::span<const std::span<const Token>> windows, i64 kept);
  void turned(const DecoderLayer& layer, std::size_t rotary, const Saved& saved, Matrix<float> q, Matrix<float> k, Worker& worker) const noexcept;
  void collect(const Projection& projection, Matrix<const float> x, Matrix<const float> d_y, Matrix<const float> y, Slot& slot) const;
  std::vector<double>& gain_of(Slot& slot, std::string_view prefix, std::size_t layer, const Buffer<float>& gain) const;
  template <class Body>
  void each_window(std::size_t count, Body&& body);
  i64 scratch(i64 tokens) const;
  i64 head_tokens() const;  // that the head computes at a time

  DecoderSpec spec_;
  DecoderWeights weights_;
  Threads& threads_;
  bool keep_expanded_;
  std::map<std::string, std::vector<float>> factors_;
  OwnedMatrix<float> head_;  // (vocabulary, width)
  std::vector<std::unique_ptr<Expanded>> expanded_;  // of all layers, or of one
  std::size_t expanded_layer_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<OwnedMatrix<float>> angles_, angles_back_;  // of each rotary, for positions 0 .. longest window - 1
};

}  // namespace bitkerf::backward
