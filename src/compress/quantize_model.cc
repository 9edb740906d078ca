#include "compress/quantize_model.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <set>

#include "compress/calibration/calibrate.h"
#include "compress/calibration/inputs.h"
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
    std::vector<std::int32_t> order;
    for (const RecipeSegment& segment : segments) {
      std::vector<std::int32_t> wanted;  // of the rows of `weights`
      for (const RowRange& range : segment.rows)
        for (i64 r = std::max(range.first, rows.first); r < std::min(range.end, rows.first + shape.rows); r++) wanted.push_back(static_cast<std::int32_t>(r - rows.first));
      if (wanted.empty()) continue;
      if (!as_gguf) {
        parts.push_back(quantize(name, weights.view(), wanted, rows.first, total, *segment.recipe));
        order.insert(order.end(), wanted.begin(), wanted.end());
      } else {
        if (segments.size() > 1) fail(Fault::usage, "recipe: '{}': rows of one matrix are of one type in a GGUF file", name);
        store(name, weights.view(), rows, total, *segment.recipe);
      }
    }
    report.matrices++;
    if (as_gguf) parts.push_back(plain_.linear(name, shape, rows));  // the model that is built is of no use
    if (progress_) progress_(done_, std::max(done_, all_));
    if (std::is_sorted(order.begin(), order.end())) order.clear();
    return parts.size() == 1 ? std::move(parts[0]) : stack_rows(std::move(parts), std::move(order));
  }

  void copy_the_rest() {
    for (const Tensor& tensor : file_.tensors()) {
      if (quantized_.contains(tensor.name)) {
        if (kept_.contains(tensor.name))
          fail(Fault::usage, "recipe: '{}' is kept and quantized by different layers; give it one recipe", tensor.name);
        continue;
      }
      const std::vector<float>* gain = folded_gain(tensor.name);
      tensors.push_back(tensor);
      if (gain) tensors.back().data = reinterpret_cast<const std::byte*>(gain->data());
    }
  }

  bool as_gguf = false;
  QuantizeReport report;
  std::vector<PackedTensor> entries;
  std::vector<Tensor> tensors;

 private:
  // Kept until another input is asked for: matrices that share one come one after the other.
  const Hessian* hessian_of(std::string_view name, i64 cols, const Transform* transform) {
    const InputStatistics* input = statistics_ ? statistics_->rounding_input_of(name) : nullptr;
    if (!input) return nullptr;
    if (input->cols() != cols)
      fail(Fault::file, "the statistics of '{}' are of {} columns; the matrix has {}", name, input->cols(), cols);
    if (input != hessian_input_ || transform != hessian_transform_ || !hessian_) {
      hessian_ = name == "token_embd" ? embedding_hessian(*input, transform, threads_) : std::make_unique<Hessian>(*input, transform, threads_);
      hessian_input_ = input, hessian_transform_ = transform;
    }
    return hessian_.get();
  }

  // The parameters that a rule has chosen for an input, for all matrices that read it.
  struct Learned {
    std::vector<float> parameters;
    std::string tensor;      // that keeps them
    std::string folded_into; // a norm's gain that has taken them instead
    std::vector<float> gain; // then: what it becomes
  };
  std::vector<std::string> readers_of(const InputStatistics& input) const {
    std::vector<std::string> names;
    for (const auto& [name, known] : statistics_->inputs)
      if (known.get() == &input) names.push_back(name);
    return names;
  }
  Learned& learned_of(std::string_view name, i64 cols, const Recipe& recipe) {
    const InputStatistics* input = statistics_ ? statistics_->input_of(name) : nullptr;
    if (!input)
      throw Error(Fault::usage, fmt::format("recipe: the transform {} of '{}' wants statistics of its input", recipe.rule->name, name),
                  "quantize --calibration FILE, made by `bitkerf calibrate`");
    if (input->cols() != cols) fail(Fault::file, "the statistics of '{}' are of {} columns; the matrix has {}", name, input->cols(), cols);
    std::string rule = fmt::format("{} {:g}", recipe.rule->name, recipe.argument);
    Learned& learned = learned_[{input, rule}];
    if (!learned.parameters.empty()) return learned;
    auto readers = [&] {
      std::vector<OwnedMatrix<float>> matrices;
      for (const std::string& reader : readers_of(*input)) {
        Shape shape = plain_.shape(reader + ".weight");
        std::unique_ptr<Linear> linear = plain_.linear(reader, shape, {});
        OwnedMatrix<float>& m = matrices.emplace_back(shape.rows, shape.cols);
        threads_.split(shape.rows, [&](i64 first, i64 last) { linear->expand(first, m.view().sub_rows(first, last - first)); });
      }
      return matrices;
    };
    auto samples = [&] { return samples_of(name, cols); };
    learned.parameters = recipe.rule->learn({recipe.argument, *input, readers, samples, threads_});
    if (!recipe.transform->takes(cols, learned.parameters))
      fail(Fault::file, "recipe: the statistics of '{}' give no transform {}", name, recipe.rule->name);
    learned.tensor = fmt::format("{}.{}", name, recipe.transform->name);
    while (names_.contains(learned.tensor)) learned.tensor += "_";
    names_.insert(learned.tensor);
    fold(*input, recipe, rule, learned);
    return learned;
  }

  // kSampledTokens inputs of every matrix, spread over windows of the default calibration.
  OwnedMatrix<float> samples_of(std::string_view name, i64 cols) {
    constexpr i64 kSampledTokens = 256, kWindows = 8, kStep = kWindows * kCalibrationWindow / kSampledTokens;
    if (samples_.empty()) {
      i64 window = 0;
      std::map<std::string, i64> seen_windows;
      std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file_.metadata());
      std::vector<CalibrationText> texts = default_calibration();
      std::vector<std::vector<Token>> windows = calibration_windows(*tokenizer, texts, kWindows);
      watch_inputs(file_, windows, threads_, [&](const SeenInput& seen) {
        window = seen_windows[seen.names[0]]++;
        auto& kept = samples_[seen.names[0]];
        if (!kept) kept = std::make_shared<std::vector<float>>();
        for (const std::string& reader : seen.names) samples_[reader] = kept;
        for (i64 t = window % kStep; t < seen.x.rows; t += kStep) kept->insert(kept->end(), seen.x.row(t), seen.x.row(t) + seen.x.cols);
      });
    }
    auto found = samples_.find(name);
    if (found == samples_.end()) fail(Fault::usage, "recipe: '{}' is not multiplied in a forward pass, so there are no samples of its input", name);
    OwnedMatrix<float> x(static_cast<i64>(found->second->size()) / cols, cols);
    std::copy(found->second->begin(), found->second->end(), x.view().data);
    return x;
  }

  // Factors of columns go into the gain of the norm that makes the input, where all that reads the norm agrees on them.
  void fold(const InputStatistics& input, const Recipe& recipe, const std::string& rule, Learned& learned) {
    struct Norm {
      std::string_view name;
      std::array<std::string_view, 4> readers;
    };
    static constexpr Norm kNorms[] = {{"attn_norm", {"attn_q", "attn_k", "attn_v", "attn_qkv"}}, {"ffn_norm", {"ffn_gate", "ffn_up"}}};
    if (recipe.transform->name != "diagonal" || recipe.rule->splits_columns) return;
    // Gains that a folder of Gemma's stores are less than they are by 1.
    if (file_.metadata().text("general.architecture", "").starts_with("gemma")) return;
    std::vector<std::string> readers = readers_of(input);
    const std::size_t dot = readers[0].rfind('.');
    if (dot == std::string::npos) return;
    const std::string block = readers[0].substr(0, dot + 1);
    for (const Norm& norm : kNorms) {
      const Tensor* gain = file_.find(fmt::format("{}{}.weight", block, norm.name));
      if (!gain || gain->type->name != "F32" || gain->weights() != input.cols()) continue;
      std::size_t known = 0;
      for (std::string_view reader : norm.readers) known += !reader.empty() && file_.find(fmt::format("{}{}.weight", block, reader)) != nullptr;
      bool all = known == readers.size();
      for (const std::string& reader : readers) {
        all &= std::find(norm.readers.begin(), norm.readers.end(), reader.substr(dot + 1)) != norm.readers.end();
        for (const RecipeSegment& segment : recipes_.of(reader, plain_.shape(reader + ".weight").rows))
          all &= segment.recipe->rule && fmt::format("{} {:g}", segment.recipe->rule->name, segment.recipe->argument) == rule;
      }
      if (!all) continue;
      learned.folded_into = gain->name;
      learned.gain.resize(static_cast<std::size_t>(input.cols()));
      std::memcpy(learned.gain.data(), gain->data, learned.gain.size() * sizeof(float));
      for (std::size_t c = 0; c < learned.gain.size(); c++) learned.gain[c] *= learned.parameters[c];
      return;
    }
  }
  const std::vector<float>* folded_gain(std::string_view tensor) const {
    for (const auto& [key, learned] : learned_)
      if (!learned.gain.empty() && learned.folded_into == tensor) return &learned.gain;
    return nullptr;
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

  // A part of a matrix and what is made of it.
  struct Part {
    std::string_view name;
    Matrix<float> weights;                   // transformed
    i64 cols;                                // of the input
    std::span<const std::int32_t> rows;      // of the matrix, from `first` on
    i64 first, total;
    const Recipe& recipe;                    // as the file keeps it
    const QuantizerRow& quantizer;
    NumberFormat format;
    const FormRow& form;
    const Encoding& input;
    const Hessian* hessian = nullptr;
    std::string parameters = {};             // tensor with those of the input's transform
  };
  // Columns that a rule splits off.
  static constexpr std::string_view kSplitFormat = "int16.f32.row", kSplitForm = "fixed_point", kSplitInput = "fixed16.row";

  // These rows of `weights`, which are those of a matrix of `total` from `first` on.
  std::unique_ptr<Linear> quantize(std::string_view name, Matrix<const float> weights, std::span<const std::int32_t> rows, i64 first, i64 total,
                                   const Recipe& recipe) {
    const i64 cols = weights.cols, count = static_cast<i64>(rows.size());
    OwnedMatrix<float> own(count, cols);
    for (i64 r = 0; r < count; r++) std::copy_n(weights.row(rows[static_cast<std::size_t>(r)]), cols, own.view().row(r));
    const Encoding* asked = &encoding(recipe.input);
    const Encoding* plain = &asked->plain();
    const TransformRow* row = recipe.transform;
    const Transform* transform = nullptr;
    Learned* learned = nullptr;
    if (row) {
      if (!row->fits(cols)) fail(Fault::usage, "recipe: '{}' has rows of {} weights, which the transform {} does not fit", name, cols, row->name);
      if (recipe.rule->learn) learned = &learned_of(name, cols, recipe);
      transform = &transform_of(*row, cols, learned ? std::span<const float>(learned->parameters) : std::span<const float>());
    }
    std::vector<float> picked;  // columns that are a part of their own
    if (learned && recipe.rule->splits_columns)
      for (std::size_t c = 0; c < learned->parameters.size(); c++)
        if (learned->parameters[c] == 0) picked.push_back(static_cast<float>(c));
    OwnedMatrix<float> picked_weights(count, static_cast<i64>(picked.size()));
    for (i64 r = 0; r < count; r++)
      for (std::size_t i = 0; i < picked.size(); i++) picked_weights(r, static_cast<i64>(i)) = own(r, static_cast<i64>(picked[i]));
    if (transform) transform_weights(*transform, own.view(), threads_);
    const FormRow& form = bitkerf::form(recipe.form);
    // The encoding `of` behind the transform, if it is not in a norm's gain.
    auto behind = [&](const Encoding& of) -> const Encoding& {
      if (!row || (learned && !learned->folded_into.empty())) return of;
      const Encoding& open = transformed(of, row);
      return learned ? with_parameters(open, cols, learned->parameters) : open;
    };
    Part part{name, own.view(), cols, rows, first, total, recipe, *recipe.quantizer, parse_number_format(recipe.format), form, behind(*plain),
              hessian_of(name, cols, transform)};
    if (part.input.bound) part.parameters = keep_parameters(learned->tensor, learned->parameters);
    std::unique_ptr<PackedLinear> main = pack(part, behind);
    if (picked.empty()) return main;
    const TransformRow& columns = bitkerf::transform("columns");
    const Encoding& split_input = with_parameters(transformed(encoding(kSplitInput), &columns), cols, picked);
    Part split{name, picked_weights.view(), cols, rows, first, total, recipe, *nearest_.of("").quantizer, parse_number_format(kSplitFormat),
               bitkerf::form(kSplitForm), split_input, nullptr, keep_parameters(learned->tensor + ".columns", picked)};
    report.split_weights += count * static_cast<i64>(picked.size());
    std::vector<std::unique_ptr<Linear>> addends;
    addends.push_back(std::move(main));
    addends.push_back(pack(split, [&](const Encoding&) -> const Encoding& { return split_input; }));
    return add_columns(std::move(addends));
  }

  // Among `tensors`, once.
  std::string keep_parameters(const std::string& tensor, std::span<const float> parameters) {
    if (!kept_parameters_.insert(tensor).second) return tensor;
    const std::vector<float>& kept = kept_floats_.emplace_back(parameters.begin(), parameters.end());
    tensors.push_back({tensor, stored_type("F32"), {static_cast<i64>(kept.size())}, reinterpret_cast<const std::byte*>(kept.data()), static_cast<i64>(kept.size() * 4)});
    return tensor;
  }

  template <class Behind>
  std::unique_ptr<PackedLinear> pack(const Part& part, Behind&& behind) {
    Quantized quantized = part.quantizer.run({part.weights, part.format, threads_, part.hessian});
    count_error(part.weights, quantized);
    // What the quantizer chose (e3m2 for fp6:split=auto) may need another input than what stood for it.
    const Encoding& input = takes(part.form, quantized.format, part.input) ? part.input : behind(usual_input(part.form, quantized.format));
    std::unique_ptr<PackedLinear> packed = part.form.pack(quantized, input, threads_);
    report.weights += part.weights.rows * part.weights.cols;
    report.packed_bytes += static_cast<i64>(packed->packed_bytes().size());
    std::string matrix = std::string(part.name) + ".weight";
    const auto count = static_cast<i64>(part.rows.size());
    const bool in_a_row = part.rows.back() - part.rows.front() + 1 == count;
    const i64 from = part.first + (in_a_row ? part.rows.front() : 0);
    std::string tensor = part.total == count ? matrix : fmt::format("{}.rows{}", matrix, part.first + part.rows.front());
    while (names_.contains(tensor)) tensor += "_";
    names_.insert(tensor);
    PackedTensor entry{tensor, matrix, std::string(part.form.name), quantized.format.name, input.name, {count, part.cols}, from, part.total, quantized.tensor_scale};
    entry.recipe = part.recipe.text();
    entry.transform = part.parameters;
    if (!in_a_row) {
      entry.scattered = tensor + ".index";
      const std::vector<std::int32_t>& kept = kept_rows_.emplace_back(part.rows.begin(), part.rows.end());
      tensors.push_back({entry.scattered, stored_type("I32"), {count}, reinterpret_cast<const std::byte*>(kept.data()), 4 * count});
    }
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
  const Transform* hessian_transform_ = nullptr;
  std::map<std::pair<const InputStatistics*, std::string>, Learned> learned_;
  std::map<std::string, std::shared_ptr<std::vector<float>>, std::less<>> samples_;  // readers of one input share them
  std::set<std::string, std::less<>> names_, kept_parameters_;  // of tensors
  std::deque<std::vector<float>> kept_floats_;
  std::deque<std::vector<std::int32_t>> kept_rows_;
  const RecipeBook nearest_{"*=rtn/int8"};
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
