// Parameters from a model file: every name, shape and value is checked, matrices are packed into the fastest form.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "files/model_file.h"
#include "files/packed_tensors.h"
#include "forms/packed.h"
#include "forms/product_study/refine.h"
#include "models/source.h"

namespace bitkerf {

class FileSource final : public LinearSource {
 public:
  // form: forced for every matrix when not empty. progress (may be empty) is told the bytes done and in all.
  // read_bits: of matrices packed as planes (0: all). refinement: of matrices times 8-bit activations; outlives the matrices.
  FileSource(const ModelFile& file, std::string form, Threads& threads, std::function<void(i64 done, i64 all)> progress,
             int read_bits = 0, Refinement* refinement = nullptr)
      : file_(file), form_(std::move(form)), threads_(threads), progress_(std::move(progress)), read_bits_(read_bits),
        refinement_(refinement),
        packed_(read_packed_tensors(file.metadata())) {}

  bool has(std::string_view full_name) const override;
  Shape shape(std::string_view full_name) const override;
  std::unique_ptr<Linear> linear(std::string_view name, Shape shape, const Rows& rows) override;
  Buffer<float> vector(std::string_view full_name, i64 n) override;

  // A tensor that nobody asked for means that the file's model is not the one we compute: Fault::file names it.
  void check_all_used() const;
  // Packed matrices are multiplied where they lie in the file.
  bool stays_mapped(const Tensor& tensor) const;

 private:
  const Tensor& tensor(std::string_view full_name) const;
  void done(const Tensor& tensor, i64 bytes);
  const PackedTensor* packed(std::string_view matrix) const;  // the first part of a packed matrix, or nullptr
  std::unique_ptr<Linear> open_packed(std::string_view matrix, Shape shape, const Rows& rows);
  std::unique_ptr<PackedLinear> open_part(const PackedTensor& entry);

  const ModelFile& file_;
  std::string form_;
  Threads& threads_;
  std::function<void(i64, i64)> progress_;
  int read_bits_;
  Refinement* refinement_;
  std::vector<PackedTensor> packed_;
  std::set<std::string, std::less<>> used_;
  i64 bytes_done_ = 0;
};

}  // namespace bitkerf
