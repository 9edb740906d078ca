// A decoder in float32 as the integer one is folded: gains of norms in the matrices behind them, the residual stream and the
// values of every head rotated by Hadamard matrices, which also lie in the matrices, so that a token's outliers are spread
// over all columns (QuaRot's rotations, none of them left at run time). Calibration watches it; with quantized weights and
// rounding at its edges it is what the integer decoder would be with float rescaling.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "files/model_file.h"
#include "models/decoder.h"

namespace bitkerf {

// Where values are rounded or bounded.
enum class Edge { attention_input, q, k, v, mixed, feed_input, gate, up, gated, last, residual };
inline constexpr std::size_t kEdges = 11;

class EdgeObserver {
 public:
  virtual ~EdgeObserver() = default;
  // values (tokens, columns of the edge), may be changed. q and k are shown after rotation. layer: of `last` 0.
  virtual void see(std::size_t layer, Edge edge, Matrix<float> values) noexcept = 0;
};

struct FoldedLayer {
  OwnedMatrix<float> qkv;      // rows of q, k, v
  OwnedMatrix<float> output;   // (width, heads * value_dim)
  OwnedMatrix<float> gate_up;  // rows of gate, up
  OwnedMatrix<float> down;     // (width, hidden)
};

struct FoldedDecoder {
  DecoderSpec spec;
  OwnedMatrix<float> embedding, head;  // (vocabulary, width)
  std::vector<FoldedLayer> layers;
};

// Fault::file that names what integers do not have where the model is not of Llama's kind.
FoldedDecoder fold_decoder(const ModelFile& file, const ModelOptions& options, Threads& threads, const std::function<void(i64 done, i64 all)>& progress);

// Runs it; `observer` sees the edges (it may be null). Both must outlive the model.
std::unique_ptr<Model> make_graph_model(std::shared_ptr<const FoldedDecoder> folded, std::shared_ptr<EdgeObserver> observer, Threads& threads);

}  // namespace bitkerf
