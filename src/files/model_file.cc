#include "files/model_file.h"

#include <filesystem>

#include "core/error.h"
#include "core/printable.h"
#include "files/gguf.h"

namespace bitkerf {

void ModelFile::index_tensors() {
  for (std::size_t i = 0; i < tensors_.size(); i++)
    if (!index_.emplace(tensors_[i].name, i).second)
      fail(Fault::file, "{}: tensor {} occurs twice", path_, printable(tensors_[i].name));
}

const Tensor* ModelFile::find(std::string_view name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

std::unique_ptr<ModelFile> open_model_file(const std::string& path) {
  return open_gguf(path);
}

}  // namespace bitkerf
