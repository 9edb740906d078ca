#include "compress/plan/candidates.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>

#include "compress/plan/file_size.h"
#include "compress/plan/step.h"
#include "compress/quantizers/hessian.h"
#include "compress/quantizers/row_errors.h"
#include "compress/stored_export.h"
#include "core/error.h"
#include "forms/list.h"

namespace bitkerf {
namespace {

// What is tried for every matrix. A recipe that does not fit a matrix (no transform of its width) is left out there.
struct RecipeRow {
  std::string_view recipe;
  bool calibrated;  // wants the second moments of the matrix's input
};
// Pairs and eights of weights (d2, e8p2) have the least error for their size, single ones are the fastest.
constexpr RecipeRow kRecipes[] = {
    {"same/uint4.u8.g32 | int_dot", false},  {"hadamard | gptq/bipolar2.row | int_dot", true}, {"hadamard | gptq/e8p2.row", true},
    {"hadamard | gptq/normal5d2.row", true}, {"hadamard | gptq/normal3.row", true},            {"hadamard | gptq/normal6d2.row", true},
    {"hadamard | gptq/normal7d2.row", true}, {"hadamard | gptq/normal4.row", true},            {"hadamard | gptq/normal8d2.row", true},
    {"hadamard | gptq/normal5.row", true},   {"hadamard | gptq/int6.row | int_dot", true},     {"rtn/int8.u8.g32 | int_dot", false},
};
// Where nothing is known of inputs.
constexpr std::string_view kUncalibrated[] = {"rtn/int2.u8.g32", "rtn/int3.u8.g32", "rtn/int4.u8.g32", "rtn/int5.u8.g32", "rtn/int6.u8.g32"};

// Rows of an embedding or head that get bits together: tokens of about the same rank, so of about the same frequency. Blocks
// are whole panels, and few enough that what the header says of each does not count.
constexpr i64 kMostSegments = 48;
i64 segment_rows(i64 rows) { return std::max<i64>(1024, ceil_div(ceil_div(rows, kMostSegments), kPanelRows) * kPanelRows); }

// How often a token of this rank is expected in text that nobody has seen, besides what was counted: Zipf's law with the
// offset that quality experiments used for bits of rows.
constexpr double kZipfOffset = 256;
std::vector<double> zipf(i64 rows) {
  std::vector<double> shares;
  double sum = 0;
  for (i64 r = 0; r < rows; r++) shares.push_back(1 / (static_cast<double>(r) + kZipfOffset)), sum += shares.back();
  for (double& share : shares) share /= sum;
  return shares;
}
// This part of what a text says of tokens (gradients of a head's rows, counts of an embedding's) is spread by rank instead: some
// ten thousand tokens say nothing of most rows.
constexpr double kByRank = 0.2;

struct Segment {
  i64 first = 0, rows = 0;
};
std::vector<Segment> segments_of(const ModelMatrix& matrix, bool gguf) {
  const bool by_token = !gguf && (matrix.is_embedding || matrix.is_head) && matrix.parts.size() == 1;
  const i64 step = by_token ? segment_rows(matrix.shape.rows) : matrix.shape.rows;
  std::vector<Segment> segments;
  for (i64 first = 0; first < matrix.shape.rows; first += step) segments.push_back({first, std::min(step, matrix.shape.rows - first)});
  return segments;
}

// Errors that were computed before, in a text file: a line "matrix TAB recipe TAB harm...", one harm a segment.
class ErrorCache {
 public:
  ErrorCache(const std::string& path, const std::string& key) : path_(path) {
    if (path.empty()) return;
    std::ifstream in(path);
    std::string line, complete;
    if (std::getline(in, line) && line == "bitkerf errors 1 " + key) {
      complete = line + "\n";
      while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string matrix, recipe, word;
        std::getline(words, matrix, '\t');
        std::getline(words, recipe, '\t');
        std::vector<double> harms;
        while (std::getline(words, word, ' ')) harms.push_back(std::strtod(word.c_str(), nullptr));
        // The last line may have been cut off by an interruption.
        if (line.empty() || line.back() != '.') continue;
        harms.pop_back();
        known_[{matrix, recipe}] = harms;
        complete += line + "\n";
      }
    } else {
      complete = "bitkerf errors 1 " + key + "\n";
    }
    in.close();
    // Under another name first: what is known took minutes, and an interruption here must not lose it.
    const std::string temporary = path + ".part";
    std::ofstream fresh(temporary, std::ios::binary | std::ios::trunc);
    fresh << complete;
    fresh.close();
    std::error_code failed;
    if (fresh) std::filesystem::rename(temporary, path, failed);
    if (fresh && !failed) out_.open(path, std::ios::binary | std::ios::app);
  }
  const std::vector<double>* find(const std::string& matrix, const std::string& recipe) const {
    auto found = known_.find({matrix, recipe});
    return found == known_.end() ? nullptr : &found->second;
  }
  void keep(const std::string& matrix, const std::string& recipe, const std::vector<double>& harms) {
    known_[{matrix, recipe}] = harms;
    if (!out_.is_open()) return;
    out_ << matrix << '\t' << recipe << '\t';
    for (double harm : harms) out_ << fmt::format("{:.17g} ", harm);
    out_ << ".\n" << std::flush;
  }

 private:
  std::string path_;
  std::map<std::pair<std::string, std::string>, std::vector<double>> known_;
  std::ofstream out_;
};

// What an output row's error counts, and for an embedding what an error of the row as an input counts. Where no gradient is
// known, errors count relative to the whole matrix: of its outputs, or of its weights when nothing is known of inputs.
struct Weighing {
  std::vector<double> of_output;  // times dW_r H dW_r^T
  std::vector<double> of_row;     // times |dW_r|^2; empty: nothing
};
Weighing weighing_of(const ModelMatrix& matrix, const CandidateOptions& options, double squares, const std::function<double()>& output_squares) {
  constexpr double kLeast = 1e-30;  // of a matrix of zeros, which has no error
  const Statistics* statistics = options.statistics;
  const auto rows = static_cast<std::size_t>(matrix.shape.rows);
  Weighing weighing;
  auto gradient = [&](const std::string& name) -> const std::vector<float>* {
    if (!statistics) return nullptr;
    auto known = statistics->gradient.find(name);
    return known == statistics->gradient.end() ? nullptr : &known->second;
  };
  const std::vector<float>* outputs = gradient(matrix.name);
  const bool is_input = matrix.is_embedding;
  if (is_input && !matrix.is_head) {
    weighing.of_output.assign(rows, 0);
    weighing.of_row.assign(rows, 2 / std::max(squares, kLeast));
  } else if (outputs) {
    if (outputs->size() != rows) fail(Fault::file, "the statistics of '{}' have gradients of {} rows; the matrix has {}", matrix.name, outputs->size(), rows);
    weighing.of_output.assign(outputs->begin(), outputs->end());
    if (matrix.is_head) {
      double sum = 0;
      for (double g : weighing.of_output) sum += g;
      std::vector<double> shares = zipf(matrix.shape.rows);
      for (std::size_t r = 0; r < rows; r++) weighing.of_output[r] = (1 - kByRank) * weighing.of_output[r] + kByRank * sum * shares[r];
    }
  } else {
    weighing.of_output.assign(rows, 2 / std::max(output_squares(), kLeast));
  }
  if (const std::vector<float>* inputs = gradient(matrix.name + ".input"); is_input && inputs) {
    double mean = 0;
    for (float g : *inputs) mean += double{g} / static_cast<double>(inputs->size());
    weighing.of_row = zipf(matrix.shape.rows);
    double counted = 0;
    for (i64 count : options.token_counts) counted += static_cast<double>(count);
    for (std::size_t r = 0; r < rows; r++) {
      if (options.token_counts.size() == rows && counted > 0)
        weighing.of_row[r] = kByRank * weighing.of_row[r] + (1 - kByRank) * static_cast<double>(options.token_counts[r]) / counted;
      weighing.of_row[r] *= mean;
    }
  }
  return weighing;
}

// Adds weighing times the errors of rows from `first` on. Without H, or with its diagonal alone, that counts.
void add_row_harms(Matrix<const float> weights, const Quantized& quantized, const InputStatistics* input, Matrix<const float> moment, const Weighing& weighing,
                   i64 first, Threads& threads, std::vector<double>& harms) {
  auto at = static_cast<std::size_t>(first);
  for (const RowError& error : row_errors(weights, quantized, moment, input, threads)) {
    harms[at] += (weighing.of_output[at] * error.of_output + (weighing.of_row.empty() ? 0 : weighing.of_row[at] * error.of_weights)) / 2;
    at++;
  }
}

// What one matrix's recipes have in common: its floats and the moments of its input, both as they are and transformed.
class MatrixTrials {
 public:
  MatrixTrials(const ModelMatrices& matrices, const ModelMatrix& matrix, const CandidateOptions& options, Threads& threads)
      : matrix_(matrix), threads_(threads), input_(options.statistics ? options.statistics->rounding_input_of(matrix.name) : nullptr) {
    if (input_ && input_->cols() != matrix.shape.cols)
      fail(Fault::file, "the statistics of '{}' are of {} columns; the matrix has {}", matrix.name, input_->cols(), matrix.shape.cols);
    double squares = 0;
    for (const ModelMatrix::Part& part : matrix.parts) {
      plain_.weights.push_back(matrices.weights(part, threads));
      const OwnedMatrix<float>& w = plain_.weights.back();
      for (i64 r = 0; r < w.rows(); r++)
        for (float v : w.view().row_span(r)) squares += double{v} * v;
    }
    if (has_moment()) {
      plain_.moment = copy_of(input_->moment.view());
      plain_.hessian = rounding_hessian(nullptr);
    }
    weighing_ = weighing_of(matrix, options, squares, [&] { return input_ ? output_squares() : squares; });
  }
  bool has_moment() const { return input_ && !input_->diagonal_only(); }

  // The harm of one recipe in each segment.
  std::vector<double> harms(const Recipe& recipe, const std::vector<Segment>& segments) {
    const Basis& basis = recipe.transform ? transformed(*recipe.transform) : plain_;
    std::vector<double> rows(static_cast<std::size_t>(matrix_.shape.rows));
    i64 first = 0;
    for (const OwnedMatrix<float>& weights : basis.weights) {
      std::vector<double> errors;
      Quantized quantized = recipe.quantizer->run({weights.view(), parse_number_format(recipe.format), threads_, basis.hessian.get(), &errors});
      if (weighing_.of_row.empty() && static_cast<i64>(errors.size()) == weights.rows()) {
        for (i64 r = 0; r < weights.rows(); r++)
          rows[static_cast<std::size_t>(first + r)] = weighing_.of_output[static_cast<std::size_t>(first + r)] * errors[static_cast<std::size_t>(r)] / 2;
      } else {
        add_row_harms(weights.view(), quantized, recipe.transform ? nullptr : input_, basis.moment.view(), weighing_, first, threads_, rows);
      }
      first += weights.rows();
    }
    std::vector<double> harms;
    for (const Segment& s : segments) harms.push_back(std::accumulate(rows.begin() + s.first, rows.begin() + s.first + s.rows, 0.0));
    return harms;
  }

 private:
  struct Basis {
    std::vector<OwnedMatrix<float>> weights;  // of each part
    OwnedMatrix<float> moment;                // or empty
    std::unique_ptr<Hessian> hessian;         // of rounding
  };
  static OwnedMatrix<float> copy_of(Matrix<const float> m) {
    OwnedMatrix<float> copy(m.rows, m.cols);
    for (i64 r = 0; r < m.rows; r++) std::copy_n(m.row(r), m.cols, copy.view().row(r));
    return copy;
  }
  // As quantize_model() makes it.
  std::unique_ptr<Hessian> rounding_hessian(const Transform* transform) const {
    return matrix_.name == "token_embd" ? embedding_hessian(*input_, transform, threads_) : std::make_unique<Hessian>(*input_, transform, threads_);
  }
  const Basis& transformed(const TransformRow& row) {
    if (transform_ == &row) return transformed_;
    transform_ = &row;
    transformed_ = {};
    const Transform& transform = transform_of(row, matrix_.shape.cols);
    for (const OwnedMatrix<float>& weights : plain_.weights) {
      transformed_.weights.push_back(copy_of(weights.view()));
      transform_weights(transform, transformed_.weights.back().view(), threads_);
    }
    if (has_moment()) {
      transformed_.moment = copy_of(plain_.moment.view());
      transform_moment(transform, transformed_.moment.view(), threads_);
      transformed_.hessian = rounding_hessian(&transform);
    }
    return transformed_;
  }

  // W H W^T summed over rows.
  double output_squares() const {
    std::vector<double> rows(static_cast<std::size_t>(matrix_.shape.rows));
    const Weighing one{std::vector<double>(rows.size(), 1.0), {}};
    i64 first = 0;
    for (const OwnedMatrix<float>& weights : plain_.weights) {
      const Quantized nothing = Quantized::zeros(parse_number_format("int8"), {weights.rows(), weights.cols()});
      add_row_harms(weights.view(), nothing, input_, plain_.moment.view(), one, first, threads_, rows);
      first += weights.rows();
    }
    return 2 * std::accumulate(rows.begin(), rows.end(), 0.0);
  }

  const ModelMatrix& matrix_;
  Threads& threads_;
  const InputStatistics* input_;
  Weighing weighing_;
  Basis plain_, transformed_;
  const TransformRow* transform_ = nullptr;
};

// What is tried for a matrix.
std::vector<Recipe> recipes_of(const ModelMatrix& matrix, const CandidateOptions& options) {
  std::vector<std::string> texts = options.recipes;
  if (options.gguf) {
    for (const StorableRow& row : storable_formats())
      if (stored_type_of(parse_number_format(row.format), matrix.shape.cols)) texts.push_back(fmt::format("gptq/{}", row.format));
  } else if (texts.empty()) {
    const InputStatistics* input = options.statistics ? options.statistics->input_of(matrix.name) : nullptr;
    const bool calibrated = input && !input->diagonal_only();
    for (const RecipeRow& row : kRecipes)
      if (!row.calibrated || calibrated) texts.emplace_back(row.recipe);
    if (!calibrated) texts.insert(texts.end(), std::begin(kUncalibrated), std::end(kUncalibrated));
  }
  std::vector<Recipe> recipes;
  for (const std::string& text : texts) {
    Recipe recipe = RecipeBook("x = " + text).of("x");
    // Rules with parameters are for plans that name them; their harm is not estimated here.
    if (!recipe.transform || (!recipe.rule->learn && recipe.transform->fits(matrix.shape.cols))) recipes.push_back(recipe);
  }
  return recipes;
}

// What was tried of a matrix, to leave out what cannot win.
class Tried {
 public:
  explicit Tried(i64 cols) : cols_(cols) {}
  void add(const Recipe& recipe, std::span<const double> harms) {
    all_.push_back({bits(recipe), recipe.transform != nullptr, std::accumulate(harms.begin(), harms.end(), 0.0)});
  }
  // Whether another recipe of fewer bits has less harm than can be hoped of this one, which follows one of the same transform:
  // a bit more is a quarter of the harm. So the blocks of a file of 4 bits leave nothing to 5 and 6 bits after a rotation.
  bool beats(const Recipe& recipe) const {
    const double own = bits(recipe);
    double least = INFINITY, hoped = 0;
    for (const Row& row : all_) {
      if (row.bits < own) least = std::min(least, row.harm);
      if (row.bits < own && row.transformed == (recipe.transform != nullptr)) hoped = row.harm * std::pow(4.0, row.bits - own) / 2;
    }
    return recipe.transform && least < hoped;
  }

 private:
  struct Row {
    double bits;
    bool transformed;
    double harm;
  };
  double bits(const Recipe& recipe) const { return parse_number_format(recipe.format).bits_per_weight(cols_); }
  i64 cols_;
  std::vector<Row> all_;
};

std::string segment_name(const ModelMatrix& matrix, const Segment& segment) {
  return segment.rows == matrix.shape.rows ? matrix.name : fmt::format("{}[{}:{}]", matrix.name, segment.first, segment.first + segment.rows);
}

// What the products of a candidate are, for the predictor of costs; decode first, then the prompt.
struct Works {
  Work decode, prefill;
};
Works works_of(const PlannedTensor& planned, i64 prompt_tokens, bool head, int threads) {
  const PackedTensor& entry = planned.entry;
  Threads one(1);
  Quantized zeros = Quantized::zeros(parse_number_format(entry.format), {kPanelRows, entry.shape.cols});
  auto linear = form(entry.form).pack(zeros, encoding(entry.input), one);
  Isa isa = chosen_isa();
  Works works;
  for (auto [work, tokens] : {std::pair{&works.decode, i64{1}}, std::pair{&works.prefill, head ? 1 : prompt_tokens}}) {
    *work = describe(entry.form, zeros.format, *linear, linear->choose(isa, tokens), tokens, threads, tokens <= kMostColdTokens);
    work->rows = entry.shape.rows;
    work->bytes = static_cast<double>(planned.bytes);
  }
  return works;
}

// A matrix that is kept: its blocks, multiplied where they lie. Only the roofline knows them.
Works works_of(const Tensor& kept, i64 prompt_tokens, bool head, int threads) {
  Work work{"as_stored/expand", std::string(kept.type->name), "int8.g32", 8, 32, false, 8, 32, 8, kept.rows(), kept.cols(), 1, threads, true,
            static_cast<double>(kept.bytes)};
  Works works{work, work};
  if (!head) works.prefill.tokens = prompt_tokens, works.prefill.cold = prompt_tokens <= kMostColdTokens;
  return works;
}

}  // namespace

Tensor as_gguf(const ModelMatrix& matrix, const Recipe& recipe) {
  const StoredType* type = stored_type_of(parse_number_format(recipe.format), matrix.shape.cols);
  return {matrix.name + ".weight", type, {matrix.shape.cols, matrix.shape.rows}, nullptr, type->bytes(matrix.shape.rows * matrix.shape.cols)};
}

PlanProblem make_candidates(const ModelFile& file, const ModelMatrices& matrices, const CandidateOptions& options, Threads& threads) {
  PlanProblem problem;
  problem.model = file.metadata().text("general.name", file.path());
  problem.parameters = matrices.shape().parameters;
  problem.prompt_tokens = options.prompt_tokens;
  problem.harm_unit = !options.statistics                    ? "relative squared error of weights, summed over matrices"
                      : options.statistics->gradient.empty() ? "relative squared error of outputs, summed over matrices"
                                                             : "half of gradient times error of outputs";
  ErrorCache cache(options.cache, options.key);
  openblas_set_num_threads(1);  // `threads` share the work out
  std::set<std::string, std::less<>> planned;
  std::vector<Works> works, source_works;  // of every candidate in order; of the matrices as they are
  bool all_stored = true;
  i64 all = 0, done = 0;
  for (const ModelMatrix& m : matrices.list()) all += m.shape.rows * m.shape.cols * static_cast<i64>(recipes_of(m, options).size());
  for (const ModelMatrix& matrix : matrices.list()) {
    planned.insert(matrix.name + ".weight");
    all_stored &= matrix.stored != nullptr;
    // An embedding by itself is only looked up.
    if (matrix.stored && (!matrix.is_embedding || matrix.is_head))
      source_works.push_back(works_of(*matrix.stored, options.prompt_tokens, matrix.is_head, threads.count()));
    std::vector<Segment> segments = segments_of(matrix, options.gguf);
    std::vector<PlanLayer> layers;
    std::vector<std::vector<Works>> layer_works(segments.size());
    for (const Segment& s : segments) layers.push_back({segment_name(matrix, s), s.rows * matrix.shape.cols, {}});
    std::optional<MatrixTrials> trials;  // made when something is to be tried
    Tried tried(matrix.shape.cols);
    for (const Recipe& recipe : recipes_of(matrix, options)) {
      if (options.recipes.empty() && !options.gguf && tried.beats(recipe)) {
        done += matrix.shape.rows * matrix.shape.cols;
        continue;
      }
      const std::vector<double>* harms = cache.find(matrix.name, recipe.text());
      if (!harms || harms->size() != segments.size()) {
        if (!trials) trials.emplace(matrices, matrix, options, threads);
        cache.keep(matrix.name, recipe.text(), trials->harms(recipe, segments));
        harms = cache.find(matrix.name, recipe.text());
      }
      tried.add(recipe, *harms);
      done += matrix.shape.rows * matrix.shape.cols;
      if (options.progress && !options.progress(done, all)) fail(Fault::run_time, "stopped; errors of candidates so far are kept");
      for (std::size_t s = 0; s < segments.size(); s++) {
        Candidate candidate{recipe.text(), 0, (*harms)[s]};
        // A segment is packed by itself; parts of a fused matrix are packed one by one.
        std::vector<PlannedTensor> tensors;
        if (segments.size() > 1 || matrix.parts.size() == 1) {
          tensors.push_back(planned_tensor(matrix.name, {segments[s].rows, matrix.shape.cols}, segments[s].first, matrix.shape.rows, recipe));
        } else {
          for (const ModelMatrix::Part& part : matrix.parts)
            tensors.push_back(planned_tensor(matrix.name, part.linear->shape(), part.first, matrix.shape.rows, recipe));
        }
        if (options.gguf) candidate.bytes = bytes_in_file(as_gguf(matrix, recipe));
        else
          for (const PlannedTensor& tensor : tensors) candidate.bytes += bytes_in_file(tensor);
        layer_works[s].push_back(works_of(tensors[0], options.prompt_tokens, matrix.is_head, threads.count()));
        layers[s].candidates.push_back(std::move(candidate));
      }
    }
    if (segments.size() == 1 && matrix.stored) {
      layers[0].candidates.push_back({"keep", bytes_in_file(*matrix.stored), 0});
      layer_works[0].push_back(works_of(*matrix.stored, options.prompt_tokens, matrix.is_head, threads.count()));
    }
    for (std::size_t s = 0; s < segments.size(); s++) {
      problem.layers.push_back(std::move(layers[s]));
      works.insert(works.end(), layer_works[s].begin(), layer_works[s].end());
    }
  }
  problem.fixed_bytes = fixed_bytes_of_file(file, planned, options.gguf);
  if (options.probe) {
    problem.source_bytes = file.file_bytes();
    std::size_t at = 0;
    std::vector<double> seconds;
    std::vector<Work> asked;
    for (const Works& w : works) {
      seconds.push_back(roofline_seconds(w.decode, *options.probe));
      seconds.push_back(roofline_seconds(w.prefill, *options.probe));
      if (options.costs) asked.push_back(w.decode), asked.push_back(w.prefill);
    }
    if (options.costs) {
      std::vector<CostModel::Estimate> estimates = options.costs->estimate(asked, *options.probe, threads);
      for (std::size_t i = 0; i < asked.size(); i++)
        if (options.costs->knows(asked[i].kernel)) seconds[i] = estimates[i].seconds;
    }
    // Only the roofline knows the source's own products, so learned costs of the others count by how far they are from theirs.
    double known = 0, bound = 0;
    for (PlanLayer& layer : problem.layers)
      for (Candidate& candidate : layer.candidates) {
        if (candidate.recipe.starts_with("same/")) known += seconds[at], bound += roofline_seconds(works[at / 2].decode, *options.probe);
        candidate.seconds_decode = seconds[at++], candidate.seconds_prefill = seconds[at++];
      }
    for (const Works& w : source_works)
      if (all_stored && bound > 0) problem.source_decode += roofline_seconds(w.decode, *options.probe) * known / bound;
  }
  return problem;
}

}  // namespace bitkerf
