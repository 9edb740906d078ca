// BERT and what shares its matrices (MiniLM): encoders of texts. Their matrices can be listed, quantized and planned for; what
// runs them in floats is not there, in integers it is (integer/).
#include <limits>

#include "core/error.h"
#include "models/list.h"

namespace bitkerf {
namespace {

constexpr i64 kMostLayers = 4096, kMostWidth = 1 << 20, kMostContext = i64{1} << 31;

class EncoderMatrices final : public Model {
 public:
  EncoderMatrices(const Metadata& metadata, LinearSource& source) {
    auto integer = [&](std::string_view name, i64 most) { return metadata.integer(key_of(metadata, name), 1, most); };
    shape_.architecture = metadata.text("general.architecture");
    shape_.name = metadata.text("general.name", "");
    shape_.layers = integer("block_count", kMostLayers);
    shape_.width = integer("embedding_length", kMostWidth);
    shape_.context = integer("context_length", kMostContext);
    shape_.vocabulary = source.shape("token_embd.weight").rows;
    if (shape_.vocabulary < 1 || shape_.vocabulary > std::numeric_limits<Token>::max())
      fail(Fault::file, "{}: token_embd.weight has {} rows", metadata.where(), shape_.vocabulary);
    const i64 width = shape_.width, hidden = integer("feed_forward_length", kMostWidth);
    add(source, "token_embd", {shape_.vocabulary, width});
    for (i64 i = 0; i < shape_.layers; i++) {
      for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) add(source, fmt::format("blk.{}.{}", i, name), {width, width});
      add(source, fmt::format("blk.{}.ffn_up", i), {hidden, width});
      add(source, fmt::format("blk.{}.ffn_down", i), {width, hidden});
    }
    shape_.macs_per_token = static_cast<double>(shape_.parameters - shape_.vocabulary * width);
  }

  const ModelShape& shape() const override { return shape_; }
  std::unique_ptr<SequenceState> new_sequence(i64) const override {
    return std::make_unique<SequenceState>(std::vector<std::unique_ptr<MixerState>>());
  }
  i64 scratch(i64, i64) const override { return 0; }
  i64 head_scratch(i64) const override { return 0; }
  // load_model() and calibrate() refuse architectures that do not run.
  void forward(std::span<const Token>, const Batch&, std::span<SequenceState* const>, std::span<const i64>, Matrix<float>, Context&) const noexcept override {
    CHECK(false);
  }
  void head(Matrix<const float>, Matrix<float>, Context&) const noexcept override { CHECK(false); }

 private:
  void add(LinearSource& source, const std::string& name, Shape shape) {
    linears_.push_back(source.linear(name, shape));
    shape_.parameters += shape.rows * shape.cols;
    shape_.weight_bytes += linears_.back()->bytes();
  }

  ModelShape shape_;
  std::vector<std::unique_ptr<Linear>> linears_;
};

}  // namespace

std::unique_ptr<Model> make_bert(const Metadata& metadata, LinearSource& source, const ModelOptions&, Threads&) {
  return std::make_unique<EncoderMatrices>(metadata, source);
}

}  // namespace bitkerf
