#include "compress/quantize_model.h"

#include <cstring>
#include <map>
#include <set>

#include "compress/quantizers/hessian.h"
#include "compress/quantizers/round_to_nearest.h"
#include "compress/stored_export.h"
#include "core/error.h"
#include "files/compact_vocabulary.h"
#include "files/gguf.h"
#include "files/packed_tensors.h"
#include "forms/list.h"
#include "models/file_source.h"
#include "models/list.h"

namespace bitkerf {
namespace {

// The model describes itself against this source: each matrix that it asks for is quantized and packed as it is asked
// for (parts of fused matrices, rows in the order of the kernels), so that loading needs no second pass.
class QuantizingSource final : public LinearSource {
 public:
  QuantizingSource(const ModelFile& file, const RecipeBook& recipes, Threads& threads, const std::function<void(i64, i64)>& progress,
                   const Statistics* statistics)
      : file_(file), recipes_(recipes), threads_(threads), progress_(progress), statistics_(statistics), plain_(file, "stored_float", threads, {}) {
    for (const Tensor& tensor : file.tensors()) all_ += tensor.weights();
  }

  bool has(std::string_view name) const override { return plain_.has(name); }
  Shape shape(std::string_view name) const override { return plain_.shape(name); }
  Buffer<float> vector(std::string_view name, i64 n) override { return plain_.vector(name, n); }

  std::unique_ptr<Linear> linear(std::string_view name, Shape shape, const Rows& rows) override {
    std::unique_ptr<Linear> source = plain_.linear(name, shape, rows);  // checks everything
    const i64 total = rows.total > 0 ? rows.total : shape.rows;
    std::vector<RecipeSegment> segments = recipes_.of(name, total);
    done_ += shape.rows * shape.cols;
    if (segments[0].recipe->keep) {
      report.kept++;
      kept_.emplace(std::string(name) + ".weight");
      return source;
    }
    OwnedMatrix<float> weights(shape.rows, shape.cols);
    threads_.split(shape.rows, [&](i64 first, i64 last) { source->expand(first, weights.view().sub_rows(first, last - first)); });
    source.reset();
    std::vector<std::unique_ptr<Linear>> parts;
    for (const RecipeSegment& segment : segments) {
      const i64 first = std::max(segment.first, rows.first), end = std::min(segment.end, rows.first + shape.rows);
      if (first >= end) continue;
      Matrix<float> part = weights.view().sub_rows(first - rows.first, end - first);
      if (!as_gguf) {
        parts.push_back(quantize(name, part, first, total, *segment.recipe));
      } else {
        if (segments.size() > 1) fail(Fault::usage, "recipe: '{}': rows of one matrix are of one type in a GGUF file", name);
        store(name, part, rows, total, *segment.recipe);
      }
    }
    report.matrices++;
    if (as_gguf) parts.push_back(plain_.linear(name, shape, rows));  // the model that is built is of no use
    if (progress_) progress_(done_, std::max(done_, all_));
    return parts.size() == 1 ? std::move(parts[0]) : stack_rows(std::move(parts));
  }

  void copy_the_rest() {
    for (const Tensor& tensor : file_.tensors()) {
      if (quantized_.contains(tensor.name)) {
        if (kept_.contains(tensor.name))
          fail(Fault::usage, "recipe: '{}' is kept and quantized by different layers; give it one recipe", tensor.name);
        continue;
      }
      tensors.push_back(tensor);
    }
  }

  bool as_gguf = false;
  QuantizeReport report;
  std::vector<PackedTensor> entries;
  std::vector<Tensor> tensors;

 private:
  // Kept until another input is asked for: matrices that share one come one after the other.
  const Hessian* hessian_of(std::string_view name, i64 cols, const TransformRow* transform) {
    const InputStatistics* input = statistics_ ? statistics_->input_of(name) : nullptr;
    if (!input) return nullptr;
    if (input->cols() != cols)
      fail(Fault::file, "the statistics of '{}' are of {} columns; the matrix has {}", name, input->cols(), cols);
    if (input != hessian_input_ || transform != hessian_transform_ || !hessian_) {
      const Transform* made = transform ? &transform_of(*transform, cols) : nullptr;
      hessian_ = name == "token_embd" ? embedding_hessian(*input, made, threads_) : std::make_unique<Hessian>(*input, made, threads_);
      hessian_input_ = input, hessian_transform_ = transform;
    }
    return hessian_.get();
  }

  // Rows of a matrix of `total` as blocks of a GGUF type, in the order that the file had them in.
  void store(std::string_view name, Matrix<float> weights, const Rows& rows, i64 total, const Recipe& recipe) {
    const std::string matrix = std::string(name) + ".weight";
    Quantized quantized = recipe.quantizer->run({weights, parse_number_format(recipe.format), threads_, hessian_of(name, weights.cols, nullptr)});
    const StoredType* type = stored_type_of(quantized.format, weights.cols);
    if (recipe.transform || !type) fail(Fault::usage, "recipe: '{}': no GGUF type holds {}", name, recipe.text());
    count_error(weights, quantized);
    if (!rows.order.empty() && total != weights.rows) fail(Fault::usage, "'{}': parts of a matrix in another order cannot be exported", name);
    std::vector<std::byte> blocks = stored_blocks(quantized, rows.order);
    StoredMatrix& stored = stored_[matrix];
    if (stored.bytes.empty()) {
      stored.bytes.resize(static_cast<std::size_t>(type->bytes(total * weights.cols)));
      tensors.push_back({matrix, type, {weights.cols, total}, stored.bytes.data(), static_cast<i64>(stored.bytes.size())});
    }
    std::memcpy(stored.bytes.data() + type->bytes(rows.first * weights.cols), blocks.data(), blocks.size());
    report.weights += weights.rows * weights.cols;
    report.packed_bytes += static_cast<i64>(blocks.size());
    quantized_.emplace(matrix);
  }
  void count_error(Matrix<const float> weights, const Quantized& quantized) {
    error_ += squared_error(weights, quantized);
    for (i64 r = 0; r < weights.rows; r++)
      for (float w : weights.row_span(r)) size_ += double{w} * w;
    report.squared_error = size_ > 0 ? error_ / size_ : 0;
  }

  // Rows from `first` on of a matrix of `total`; weights are overwritten.
  std::unique_ptr<Linear> quantize(std::string_view name, Matrix<float> weights, i64 first, i64 total, const Recipe& recipe) {
    if (recipe.transform) {
      if (!recipe.transform->fits(weights.cols))
        fail(Fault::usage, "recipe: '{}' has rows of {} weights, which the transform {} does not fit", name, weights.cols, recipe.transform->name);
      transform_weights(transform_of(*recipe.transform, weights.cols), weights, threads_);
    }
    Quantized quantized = recipe.quantizer->run({weights, parse_number_format(recipe.format), threads_, hessian_of(name, weights.cols, recipe.transform)});
    count_error(weights, quantized);
    // What the quantizer chose (e3m2 for fp6:split=auto) may need another input than what stood for it.
    const FormRow& row = form(recipe.form);
    const Encoding& asked = encoding(recipe.input);
    const Encoding& input =
        takes(row, quantized.format, asked) ? asked : transformed(usual_input(row, quantized.format), recipe.transform);
    std::unique_ptr<PackedLinear> packed = row.pack(quantized, input, threads_);
    report.weights += weights.rows * weights.cols;
    report.packed_bytes += static_cast<i64>(packed->packed_bytes().size());
    std::string matrix = std::string(name) + ".weight";
    PackedTensor entry{total == weights.rows ? matrix : fmt::format("{}.rows{}", matrix, first), matrix, recipe.form,
                       quantized.format.name, input.name, {weights.rows, weights.cols}, first, total, quantized.tensor_scale};
    entry.recipe = recipe.text();
    std::span<const std::byte> bytes = packed->packed_bytes();
    entries.push_back(entry);
    tensors.push_back({entry.tensor, stored_type("I8"), {static_cast<i64>(bytes.size())}, bytes.data(), static_cast<i64>(bytes.size())});
    quantized_.emplace(matrix);
    return packed;
  }

  const ModelFile& file_;
  const RecipeBook& recipes_;
  Threads& threads_;
  const std::function<void(i64, i64)>& progress_;
  struct StoredMatrix {
    std::vector<std::byte> bytes;
  };
  std::map<std::string, StoredMatrix> stored_;
  const Statistics* statistics_;
  std::unique_ptr<Hessian> hessian_;
  const InputStatistics* hessian_input_ = nullptr;
  const TransformRow* hessian_transform_ = nullptr;
  FileSource plain_;
  std::set<std::string, std::less<>> kept_, quantized_;
  double error_ = 0, size_ = 0;
  i64 done_ = 0, all_ = 0;
};

}  // namespace

QuantizeReport quantize_model(const ModelFile& source, const RecipeBook& recipes, const std::string& out, Threads& threads,
                              const std::function<void(i64 done, i64 all)>& progress, const Statistics* statistics) {
  QuantizingSource quantizing(source, recipes, threads, progress, statistics);
  // The model owns the packed matrices that `tensors` points into, until the file is written.
  std::unique_ptr<Model> model = describe_model(source, quantizing, ModelOptions{}, threads);
  quantizing.copy_the_rest();
  Metadata metadata = source.metadata();
  compact_vocabulary(metadata);
  set_packed_tensors(quantizing.entries, metadata);
  metadata.set("general.alignment", std::uint32_t{64});  // kernels read panels where they lie
  write_gguf(out, metadata, quantizing.tensors);
  return quantizing.report;
}

QuantizeReport quantize_model_as_gguf(const ModelFile& source, const RecipeBook& recipes, const std::string& out, Threads& threads,
                                      const std::function<void(i64 done, i64 all)>& progress, const Statistics* statistics) {
  QuantizingSource quantizing(source, recipes, threads, progress, statistics);
  quantizing.as_gguf = true;
  std::unique_ptr<Model> model = describe_model(source, quantizing, ModelOptions{}, threads);
  quantizing.copy_the_rest();
  write_gguf(out, source.metadata(), quantizing.tensors);
  return quantizing.report;
}

}  // namespace bitkerf
