#include "compress/plan/step.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "core/error.h"
#include "files/packed_tensors.h"
#include "models/packed_part.h"

namespace bitkerf {
namespace {

// "blk.12.attn_q.weight": 12, "attn_q". What is in no block: -1 and the name.
struct Place {
  i64 layer = -1;
  std::string_view name;
  explicit Place(std::string_view matrix) : name(matrix) {
    if (name.ends_with(".weight")) name.remove_suffix(7);
    if (!name.starts_with("blk.")) return;
    auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), layer);
    if (error == std::errc()) name.remove_prefix(static_cast<std::size_t>(end - name.data()) + 1);
  }
};

// Matrices that a model multiplies in one product carry one name here.
std::string_view product_of(std::string_view name) {
  if (name == "attn_q" || name == "attn_k" || name == "attn_v" || name == "attn_qkv") return "qkv";
  if (name == "ffn_gate" || name == "ffn_up") return "gate and up";
  return name;
}

}  // namespace

Work describe(std::string_view form, const NumberFormat& format, const PackedLinear& linear, const PanelKernels& kernels, i64 tokens,
              int threads, bool cold) {
  const Encoding& input = linear.input();
  Shape shape = linear.shape();
  auto bytes = static_cast<double>(linear.bytes());
  // Weights that lie there as float32 do not depend on the format they came from.
  if (bytes >= 4.0 * static_cast<double>(shape.rows) * static_cast<double>(shape.cols))
    return {std::string(form) + "/" + std::string(kernels.name), "f32", input.name, 32, shape.cols, false, 32, shape.cols, kernels.max_tokens,
            shape.rows, shape.cols, tokens, threads, cold, bytes};
  return {std::string(form) + "/" + std::string(kernels.name), format.name, input.name, format.grid.bits(),
          format.group == kWholeRow ? shape.cols : format.group, format.has_minimum, input.bits == 0 ? 32 : input.bits,
          input.bits == 0 || input.group == kRowGroup ? shape.cols : input.group, kernels.max_tokens, shape.rows, shape.cols, tokens,
          threads, cold, bytes};
}

Step products_of_step(const ModelFile& file, int read_bits, i64 tokens, int threads, Isa isa) {
  std::vector<PackedTensor> entries = read_packed_tensors(file.metadata());
  i64 last_layer = -1;
  bool own_head = file.find("output.weight") != nullptr;
  for (const PackedTensor& entry : entries) {
    last_layer = std::max(last_layer, Place(entry.matrix).layer);
    own_head |= entry.matrix == "output.weight";
  }
  Step step;
  std::map<std::string, std::size_t> products;  // by layer, product, form, format and encoding
  for (const PackedTensor& entry : entries) {
    Place place(entry.matrix);
    if (place.name == "token_embd" && own_head) continue;  // only looked up
    NumberFormat format = parse_number_format(entry.format);
    auto linear = open_packed_tensor(file, entry, read_bits);
    std::string_view product = product_of(place.name);
    // Behind the last attention only the last token goes on.
    bool one = place.layer == -1 || (place.layer == last_layer && product != "qkv");
    i64 count = one ? 1 : tokens;
    Work work = describe(entry.form, format, *linear, linear->choose(isa, count), count, threads, false);
    step.bytes += work.bytes;
    auto key = fmt::format("{} {} {} {} {}", place.layer, product, entry.form, entry.format, entry.input);
    if (auto [at, fresh] = products.emplace(key, step.products.size()); fresh) {
      step.products.push_back(std::move(work));
    } else {
      step.products[at->second].rows += work.rows;
      step.products[at->second].bytes += work.bytes;
    }
  }
  for (const Tensor& tensor : file.tensors()) {
    bool packed = std::any_of(entries.begin(), entries.end(), [&](const PackedTensor& e) { return e.tensor == tensor.name; });
    if (!packed && tensor.shape.size() == 2 && tensor.rows() > 1 && (tensor.name != "token_embd.weight" || !own_head)) step.other_matrices++;
  }
  bool cold = step.bytes > static_cast<double>(cpu_info().l3_bytes);
  for (Work& work : step.products) work.cold = cold && work.tokens <= kMostColdTokens;
  return step;
}

}  // namespace bitkerf
