#include "compress/report/contents.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "core/error.h"
#include "files/packed_tensors.h"

namespace bitkerf {
namespace {

std::string without_weight(const std::string& name) {
  constexpr std::string_view kEnd = ".weight";
  return name.ends_with(kEnd) ? name.substr(0, name.size() - kEnd.size()) : name;
}

double bits(i64 bytes, i64 weights) {
  return weights > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(weights) : 0;
}

using PackedByTensor = std::map<std::string, PackedTensor, std::less<>>;
PackedByTensor packed_by_tensor(const ModelFile& file) {
  PackedByTensor packed;
  for (const PackedTensor& entry : read_packed_tensors(file.metadata())) packed.emplace(entry.tensor, entry);
  return packed;
}

std::string part_text(const MatrixPart& part) {
  return fmt::format("rows {} to {}: {}, {:.2f} bits", part.first, part.first + part.rows, part.recipe,
                     bits(part.bytes, part.weights));
}

// Matrix and rows of a plan's layer: "token_embd[0:2048]"; all rows without brackets.
struct LayerRows {
  std::string matrix;
  i64 first = 0, last = -1;  // -1: all
};
LayerRows layer_rows(const std::string& layer) {
  const std::size_t open = layer.rfind('['), colon = layer.rfind(':');
  if (!layer.ends_with(']') || open == layer.npos || colon == layer.npos || colon < open) return {layer};
  LayerRows rows{layer.substr(0, open)};
  std::from_chars(layer.data() + open + 1, layer.data() + colon, rows.first);
  std::from_chars(layer.data() + colon + 1, layer.data() + layer.size() - 1, rows.last);
  return rows;
}

}  // namespace

std::vector<MatrixPart> matrix_parts(const ModelFile& file) {
  const PackedByTensor packed = packed_by_tensor(file);
  std::vector<MatrixPart> parts;
  for (const Tensor& tensor : file.tensors()) {
    if (auto found = packed.find(tensor.name); found != packed.end()) {
      const PackedTensor& entry = found->second;
      parts.push_back({without_weight(entry.matrix), entry.first, entry.shape.rows, entry.total,
                       entry.shape.rows * entry.shape.cols, tensor.bytes,
                       entry.recipe.empty() ? entry.format : entry.recipe});
    } else if (tensor.shape.size() > 1) {
      parts.push_back({without_weight(tensor.name), 0, tensor.rows(), tensor.rows(), tensor.weights(), tensor.bytes,
                       std::string(tensor.type->name), false});
    }
  }
  return parts;
}

MatrixName split_name(const std::string& matrix) {
  const std::size_t first = matrix.find('.'), second = first == matrix.npos ? first : matrix.find('.', first + 1);
  if (second == matrix.npos || !matrix.starts_with("blk.")) return {"model", matrix};
  return {matrix.substr(0, second), matrix.substr(second + 1)};
}

std::vector<KindRow> bytes_by_kind(const ModelFile& file) {
  std::map<std::string, KindRow> kinds;
  for (const MatrixPart& part : matrix_parts(file)) {
    KindRow& row = kinds[split_name(part.matrix).kind];
    row.kind = split_name(part.matrix).kind;
    row.matrices += part.first == 0;
    row.weights += part.weights;
    row.bytes += part.bytes;
  }
  const PackedByTensor packed = packed_by_tensor(file);
  KindRow vectors{"vectors"}, header{"header, tokenizer", 0, 0, file.file_bytes()};
  for (const Tensor& tensor : file.tensors()) {
    header.bytes -= tensor.bytes;
    if (tensor.shape.size() > 1 || packed.contains(tensor.name)) continue;
    vectors.matrices++;
    vectors.weights += tensor.weights();
    vectors.bytes += tensor.bytes;
  }
  std::vector<KindRow> rows;
  for (const auto& [name, row] : kinds) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(), [](const KindRow& a, const KindRow& b) { return a.bytes > b.bytes; });
  rows.push_back(vectors);
  rows.push_back(header);
  return rows;
}

std::vector<BitCell> cells_of_matrices(const std::vector<MatrixPart>& parts) {
  struct Whole {
    i64 weights = 0, bytes = 0;
    std::string title;
  };
  std::map<std::string, Whole> wholes;
  std::vector<std::string> order;
  for (const MatrixPart& part : parts) {
    Whole& whole = wholes[part.matrix];
    if (whole.weights == 0) order.push_back(part.matrix);
    whole.weights += part.weights;
    whole.bytes += part.bytes;
    whole.title += (whole.title.empty() ? "" : "; ") + (part.rows == part.total ? part.recipe : part_text(part));
  }
  std::vector<BitCell> cells;
  for (const std::string& matrix : order) {
    const Whole& whole = wholes[matrix];
    MatrixName name = split_name(matrix);
    cells.push_back(
        {name.layer, name.kind, bits(whole.bytes, whole.weights), fmt::format("{}: {}", matrix, whole.title)});
  }
  return cells;
}

std::vector<BitCell> cells_of_segments(const std::vector<MatrixPart>& parts) {
  std::vector<BitCell> cells;
  for (const MatrixPart& part : parts)
    if (part.rows != part.total)
      cells.push_back(
          {fmt::format("from {}", part.first), part.matrix, bits(part.bytes, part.weights), part_text(part)});
  return cells;
}

std::optional<double> predicted_divergence(const PlanProblem& problem, const std::vector<MatrixPart>& parts) {
  if (std::none_of(parts.begin(), parts.end(), [](const MatrixPart& p) { return p.packed; })) return {};
  double sum = 0;
  for (const PlanLayer& layer : problem.layers) {
    LayerRows rows = layer_rows(layer.matrix);
    auto part = std::find_if(parts.begin(), parts.end(), [&](const MatrixPart& p) {
      return p.matrix == rows.matrix && p.first <= rows.first &&
             (rows.last < 0 ? p.total : rows.last) <= p.first + p.rows;
    });
    if (part == parts.end()) return {};
    auto candidate = std::find_if(layer.candidates.begin(), layer.candidates.end(), [&](const Candidate& c) {
      return c.recipe == (part->packed ? part->recipe : "keep");
    });
    if (candidate == layer.candidates.end()) return {};
    sum += candidate->harm;
  }
  return problem.divergence.of(sum);
}

}  // namespace bitkerf
