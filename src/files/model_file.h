// What every container of a model (GGUF, split GGUF, Hugging Face folder) looks like to the rest of the program:
// metadata and named tensors under GGUF's names ("blk.0.attn_q.weight"), whatever the container calls them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/threads.h"
#include "files/metadata.h"
#include "formats/stored.h"

namespace bitkerf {

struct Tensor {
  std::string name;
  const StoredType* type = nullptr;
  // Sizes as ggml orders them: the first is the contiguous one. A matrix (rows, cols) has shape {cols, rows}.
  std::vector<i64> shape;
  const std::byte* data = nullptr;  // inside the mapped file (owned by the ModelFile); any alignment
  i64 bytes = 0;

  i64 cols() const { return shape.empty() ? 1 : shape[0]; }
  i64 rows() const { i64 n = 1; for (std::size_t i = 1; i < shape.size(); i++) n *= shape[i]; return n; }
  i64 weights() const { return cols() * rows(); }
};

class ModelFile {
 public:
  virtual ~ModelFile() = default;
  const Metadata& metadata() const { return metadata_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Tensor* find(std::string_view name) const;        // nullptr when absent
  const std::string& path() const { return path_; }
  i64 file_bytes() const { return file_bytes_; }          // of all parts
  // Tell the system that the mapped pages of these bytes will not be read again soon (after repacking), so that
  // they no longer count as resident. The bytes stay readable.
  virtual void release(const std::byte* data, i64 bytes) const = 0;
  // MappedFile::settle().
  virtual void settle(const std::byte* data, i64 bytes, Threads& threads) const = 0;

 protected:
  std::string path_;
  i64 file_bytes_ = 0;
  Metadata metadata_;
  std::vector<Tensor> tensors_;
  // Once all tensors are there; refuses a name that occurs twice.
  void index_tensors();

 private:
  std::map<std::string_view, std::size_t> index_;  // into tensors_
};

// Opens a .gguf file, the first part of a split one (-00001-of-000NN.gguf), or a Hugging Face folder.
// Throws Error{Fault::file} that says what, where, and what was expected.
std::unique_ptr<ModelFile> open_model_file(const std::string& path);

}  // namespace bitkerf
