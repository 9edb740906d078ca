#include "files/model_file.h"

#include <filesystem>

#include "core/error.h"
#include "core/printable.h"
#include "files/gguf.h"
#include "files/huggingface.h"

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
  if (path.find('\0') != path.npos) fail(Fault::file, "{}: not a path", printable(path));
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return open_huggingface(path);
  if (path.ends_with(".safetensors"))
    throw Error(Fault::file, fmt::format("{}: tensors without a config.json beside them are no model", path),
                "open the folder that the file lies in");
  return open_gguf(path);
}

}  // namespace bitkerf
