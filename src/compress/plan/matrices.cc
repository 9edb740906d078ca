#include "compress/plan/matrices.h"

#include "forms/linear.h"
#include "models/file_source.h"
#include "models/list.h"

namespace bitkerf {
namespace {

class ListingSource final : public LinearSource {
 public:
  ListingSource(const ModelFile& file, Threads& threads, std::vector<ModelMatrix>& list) : file_(file), plain_(file, "stored_float", threads, {}), list_(list) {}

  bool has(std::string_view name) const override { return plain_.has(name); }
  Shape shape(std::string_view name) const override { return plain_.shape(name); }
  Buffer<float> vector(std::string_view name, i64 n) override { return plain_.vector(name, n); }

  std::unique_ptr<Linear> linear(std::string_view name, Shape shape, const Rows& rows) override {
    std::unique_ptr<Linear> linear = plain_.linear(name, shape, rows);
    ModelMatrix* matrix = nullptr;
    for (ModelMatrix& known : list_)
      if (known.name == name) matrix = &known;
    if (!matrix) {
      list_.push_back({std::string(name), {0, shape.cols}, {}, file_.find(std::string(name) + ".weight")});
      matrix = &list_.back();
    }
    matrix->shape.rows += shape.rows;
    matrix->parts.push_back({rows.first, linear.get()});
    return linear;
  }

 private:
  const ModelFile& file_;
  FileSource plain_;
  std::vector<ModelMatrix>& list_;
};

}  // namespace

ModelMatrices::ModelMatrices(const ModelFile& file, Threads& threads) {
  ListingSource source(file, threads, list_);
  model_ = describe_model(file, source, ModelOptions{}, threads);
  bool own_head = false;
  for (ModelMatrix& matrix : list_) own_head |= matrix.is_head = matrix.name == "output";
  for (ModelMatrix& matrix : list_)
    if (matrix.name == "token_embd") matrix.is_embedding = true, matrix.is_head = !own_head && model_->shape().head_macs > 0;
}
ModelMatrices::~ModelMatrices() = default;

i64 ModelMatrices::session_bytes(i64 context_tokens, i64 batch_tokens) const {
  return model_->new_sequence(1)->bytes_per_token() * context_tokens + model_->scratch(batch_tokens, context_tokens) + model_->head_scratch(1);
}

OwnedMatrix<float> ModelMatrices::weights(const ModelMatrix::Part& part, Threads& threads) const {
  Shape shape = part.linear->shape();
  OwnedMatrix<float> weights(shape.rows, shape.cols);
  threads.split(shape.rows, [&](i64 first, i64 last) { part.linear->expand(first, weights.view().sub_rows(first, last - first)); });
  return weights;
}

}  // namespace bitkerf
