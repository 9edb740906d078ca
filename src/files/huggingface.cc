#include "files/huggingface.h"

#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/printable.h"
#include "files/huggingface_tokenizer.h"
#include "files/json.h"
#include "files/mapped_file.h"
#include "files/safetensors.h"

namespace bitkerf {
namespace {

namespace fs = std::filesystem;

// An unreadable path counts as absent here and is complained about where it is needed.
bool is_there(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// The chat template: a file of its own, or in tokenizer_config.json.
void read_chat_template(const std::string& folder, Metadata& metadata) {
  std::string own = folder + "/chat_template.jinja", config = folder + "/tokenizer_config.json";
  if (is_there(own)) metadata.set("tokenizer.chat_template", std::string(text_of(MappedFile(own))));
  else if (is_there(config)) translate_chat_template(config, text_of(MappedFile(config)), metadata);
}

class HuggingfaceFolder final : public ModelFile {
 public:
  explicit HuggingfaceFolder(const std::string& folder) {
    path_ = folder;
    std::string config = folder + "/config.json";
    if (!is_there(config))
      fail(Fault::file, "{}: a folder without config.json, expected a .gguf file or a Hugging Face folder", folder);
    metadata_ = translate_config(config, text_of(MappedFile(config)));
    fs::path name = fs::path(folder).lexically_normal();
    metadata_.set("general.name", (name.has_filename() ? name : name.parent_path()).filename().string());
    std::string index = folder + "/model.safetensors.index.json", single = folder + "/model.safetensors";
    if (is_there(index)) read_parts(index);
    else if (is_there(single)) read_tensors(single);
    else fail(Fault::file, "{}: neither model.safetensors nor model.safetensors.index.json is there", folder);
    index_tensors();
    const bool has_output = metadata_.boolean(metadata_.text("general.architecture") + ".attention.causal", true);
    if (has_output && !metadata_.boolean("bitkerf.tied_output", false) && !find("output.weight"))
      fail(Fault::file, "{}: no tensor lm_head.weight, although tie_word_embeddings is false", folder);
    read_chat_template(folder, metadata_);
    if (is_there(path_ + "/tokenizer.json")) read_huggingface_tokenizer(path_, metadata_);
  }

  void release(const std::byte* data, i64 bytes) const override {
    for (const MappedFile& part : parts_)
      if (part.holds(data)) part.release(data, bytes);
  }
  void settle(const std::byte* data, i64 bytes, Threads& threads) const override {
    for (const MappedFile& part : parts_)
      if (part.holds(data)) part.settle(data, bytes, threads);
  }

 private:
  // Returns the names that the tensors had.
  std::set<std::string> read_tensors(const std::string& path) {
    parts_.emplace_back(path);
    file_bytes_ += static_cast<i64>(parts_.back().bytes().size());
    std::set<std::string> names;
    for (Tensor& tensor : parse_safetensors(path, parts_.back().bytes())) {
      names.insert(tensor.name);
      tensor.name = translate_tensor_name(tensor.name, metadata_);
      if (!tensor.name.empty()) tensors_.push_back(std::move(tensor));
    }
    return names;
  }

  void read_parts(const std::string& path) {
    // file -> tensors that the index promises in it
    std::map<std::string, std::vector<std::string>> parts;
    MappedFile file(path);
    nlohmann::json index = parse_json(path, text_of(file), {.bytes = 1 << 24, .depth = 4, .values = 1 << 18});
    auto map = index.is_object() ? index.find("weight_map") : index.end();
    if (map == index.end() || !map->is_object()) fail(Fault::file, "{}: no object weight_map", path);
    for (const auto& [tensor, part] : map->items()) {
      if (!part.is_string()) fail(Fault::file, "{}: tensor {} has no file name", path, printable(tensor));
      std::string name = part.get<std::string>();
      // Files of this folder only: the index must not make us open others.
      if (name.find('/') != name.npos || name.find('\0') != name.npos || !name.ends_with(".safetensors"))
        fail(Fault::file, "{}: tensor {} lies in {}, expected the plain name of a .safetensors file", path,
             printable(tensor), printable(name));
      parts[name].push_back(tensor);
    }
    for (const auto& [name, promised] : parts) {
      std::string part = path_ + "/" + name;
      std::set<std::string> names = read_tensors(part);
      for (const std::string& tensor : promised)
        if (!names.contains(tensor))
          fail(Fault::file, "{}: no tensor {}, although the index says so", part, printable(tensor));
    }
  }

  std::vector<MappedFile> parts_;
};

}  // namespace

void translate_chat_template(const std::string& where, std::string_view text, Metadata& metadata) {
  // The file also has every added token; only the template is kept.
  using Event = nlohmann::json::parse_event_t;
  auto only_template = [](int depth, Event event, nlohmann::json& parsed) {
    return event != Event::key || depth != 1 || parsed == "chat_template";
  };
  nlohmann::json json =
      parse_json(where, text, {.bytes = 1 << 25, .depth = 16, .values = 1 << 22}, only_template);
  auto found = json.is_object() ? json.find("chat_template") : json.end();
  if (found == json.end() || found->is_null()) return;
  if (found->is_string()) {
    metadata.set("tokenizer.chat_template", found->get<std::string>());
    return;
  }
  auto is_text = [](const nlohmann::json& entry, const char* key) {
    return entry.contains(key) && entry[key].is_string();
  };
  for (const nlohmann::json& entry : *found) {
    if (!entry.is_object() || !is_text(entry, "name") || !is_text(entry, "template"))
      fail(Fault::file, "{}: chat_template is neither a text nor a list of objects with name and template", where);
    std::string name = entry["name"];
    metadata.set(name == "default" ? "tokenizer.chat_template" : "tokenizer.chat_template." + name,
                 entry["template"].get<std::string>());
  }
}

std::unique_ptr<ModelFile> open_huggingface(const std::string& folder) {
  return std::make_unique<HuggingfaceFolder>(folder);
}

}  // namespace bitkerf
