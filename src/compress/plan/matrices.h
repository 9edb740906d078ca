// The matrices of a model as it asks for them when it describes itself: what a plan decides about.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/threads.h"
#include "files/model_file.h"
#include "models/model.h"

namespace bitkerf {

class Linear;

// A stored matrix; parts are the row ranges that the model asks for (one, but for fused ones), rows in the kernels' order.
struct ModelMatrix {
  struct Part {
    i64 first = 0;
    const Linear* linear = nullptr;
  };
  std::string name;  // without ".weight"
  Shape shape;       // of all parts
  std::vector<Part> parts;
  const Tensor* stored = nullptr;
  bool is_embedding = false;  // its rows are looked up by token
  bool is_head = false;       // it makes logits
};

class ModelMatrices {
 public:
  ModelMatrices(const ModelFile& file, Threads& threads);
  ~ModelMatrices();

  const std::vector<ModelMatrix>& list() const { return list_; }
  const ModelShape& shape() const { return model_->shape(); }
  // Resident bytes of a session of that many tokens besides the weights: keys, values, scratch.
  i64 session_bytes(i64 context_tokens, i64 batch_tokens) const;
  // All rows of `part` as floats.
  OwnedMatrix<float> weights(const ModelMatrix::Part& part, Threads& threads) const;

 private:
  std::vector<ModelMatrix> list_;
  std::unique_ptr<Model> model_;
};

}  // namespace bitkerf
