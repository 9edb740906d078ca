#include "models/list.h"

#include <algorithm>
#include <span>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "core/printable.h"
#include "models/file_source.h"

namespace bitkerf {
namespace {

template <DecoderSpec (*describe)(const Metadata&, LinearSource&, const ModelOptions&)>
std::unique_ptr<Model> make(const Metadata& metadata, LinearSource& source, const ModelOptions& options,
                            Threads& threads) {
  return make_decoder(describe(metadata, source, options), source, options, threads);
}

constexpr ArchitectureRow kArchitectures[] = {
    {"llama", "Llama 1 to 3, SmolLM2, TinyLlama, Mistral", llama_spec, make<llama_spec>},
    {"mistral", "Mistral with a sliding window", llama_spec, make<llama_spec>},
    {"gemma2", "Gemma 2", gemma2_spec, make<gemma2_spec>},
    {"gemma3", "Gemma 3 (text)", gemma3_spec, make<gemma3_spec>},
    {"qwen2", "Qwen 1.5 to 2.5", qwen2_spec, make<qwen2_spec>},
    {"qwen3", "Qwen 3", qwen3_spec, make<qwen3_spec>},
    {"phi3", "Phi-3, Phi-3.5, Phi-4", phi3_spec, make<phi3_spec>},
    {"bert", "BERT, MiniLM: vectors of texts, in integers", nullptr, make_bert},
};

const ArchitectureRow& architecture_of(const ModelFile& file) {
  const std::string& name = file.metadata().text("general.architecture");
  std::string known;
  for (const ArchitectureRow& row : kArchitectures) {
    if (row.name == name) return row;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
  }
  fail(Fault::file, "{}: the architecture '{}' is not known; known ones: {}", file.path(), printable(name), known);
}

const std::byte* end_of(std::span<const std::byte> run) { return run.data() + run.size(); }

// Matrices that lie in the file as they are multiplied: from huge pages they are read 5 % faster. A file that would take
// more than half of the memory that is left stays as it is, shared and evictable.
void settle_packed(const ModelFile& file, const FileSource& source, Threads& threads) {
  constexpr i64 kGap = 256 << 10;  // vectors between two matrices go with them
  std::vector<std::span<const std::byte>> runs;
  i64 bytes = 0;
  std::vector<const Tensor*> tensors;
  for (const Tensor& tensor : file.tensors())
    if (source.stays_mapped(tensor)) tensors.push_back(&tensor);
  std::sort(tensors.begin(), tensors.end(), [](const Tensor* a, const Tensor* b) { return a->data < b->data; });
  for (const Tensor* tensor : tensors) {
    const std::byte* end = tensor->data + tensor->bytes;
    bytes += tensor->bytes;
    if (!runs.empty() && tensor->data >= end_of(runs.back()) && tensor->data - end_of(runs.back()) <= kGap) runs.back() = {runs.back().data(), end};
    else runs.push_back({tensor->data, end});
  }
  if (bytes > available_memory() / 2) return;
  for (std::span<const std::byte> run : runs) file.settle(run.data(), static_cast<i64>(run.size()), threads);
}

}  // namespace

void SequenceState::truncate(i64 tokens) noexcept {
  std::size_t next = 0;
  i64 held = tokens;
  for (std::size_t i = 0; i < layers_.size(); i++) {
    if (next < pruned_.size() && pruned_[next].first_layer == static_cast<i64>(i)) {
      std::vector<i64>& positions = pruned_[next++].positions;
      held = std::lower_bound(positions.begin(), positions.end(), tokens) - positions.begin();
      positions.resize(static_cast<std::size_t>(held));
    }
    layers_[i]->truncate(held);
  }
}

std::span<const ArchitectureRow> architectures() { return kArchitectures; }

std::unique_ptr<Model> describe_model(const ModelFile& file, LinearSource& source, const ModelOptions& options, Threads& threads) {
  return architecture_of(file).make(file.metadata(), source, options, threads);
}

void check_runs(const ModelFile& file, std::string_view wanted) {
  const ArchitectureRow& row = architecture_of(file);
  if (row.describe) return;
  throw Error(Fault::file, fmt::format("{}: a model of architecture {} can be compressed, but not {} yet", file.path(), row.name, wanted),
              "embed gives its vectors of texts; statistics of its inputs can come from elsewhere: plan, compress and quantize take --calibration FILE (tools/encoder_statistics.py)");
}

DecoderSpec describe_decoder(const ModelFile& file, LinearSource& source, const ModelOptions& options) {
  check_runs(file, "run");
  return architecture_of(file).describe(file.metadata(), source, options);
}

std::unique_ptr<Model> load_model(const ModelFile& file, const ModelOptions& options, Threads& threads,
                                  const std::function<void(i64 done, i64 all)>& progress) {
  check_runs(file, "run");
  FileSource source(file, options.form, threads, progress, options.read_bits, options.refinement.get());
  std::unique_ptr<Model> model = describe_model(file, source, options, threads);
  source.check_all_used();
  if (options.refinement && options.refinement->matrices().empty())
    throw Error(Fault::usage, fmt::format("{}: no matrix is multiplied by 8-bit activations, so that nothing can be refined", file.path()),
                "bitkerf quantize MODEL --recipe '*=hadamard | gptq/int8 | int_dot | int8.g64' makes such a file");
  // Reading a tensor maps pages of its neighbours too, also of those released before.
  for (const Tensor& tensor : file.tensors())
    if (!source.stays_mapped(tensor)) file.release(tensor.data, tensor.bytes);
  settle_packed(file, source, threads);
  return model;
}

}  // namespace bitkerf
